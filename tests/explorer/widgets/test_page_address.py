"""A link: every field comes back unchanged; what cannot be used is reported in one sentence, never
as an error, and the rest counts.
"""

import ast
import json
from dataclasses import fields, replace
from typing import get_args

import pytest
from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.plots import advice as plots_advice
from ctsft.plots import faithfulness as plots_faithfulness
from explorer.compare import filters
from explorer.finetune import advanced_form, after_run, command, one_run
from explorer.relevance import head_on_text
from explorer.session import link_format, recent
from explorer.session.view import View
from explorer.text import circuit_rules
from explorer.widgets import page_address
from support.circuit_page import heads_shown, keep, made, outlined
from support.pages import APP, chart, followed, shown, widget

CHOICES = page_address.PANELS | {"rule": (*circuit_rules.RULES, *circuit_rules.DISCOVERED)}


CHANGED = View(
    source="javanese",
    target="english",
    split="valid",
    size=12,
    pool_seed=3,
    method="ig",
    attention="frozen",
    rules="symmetric",
    positions="readout",
    head=(1, 2),
    flip=True,
    panel="Means",
    example=4,
    rule="random",
    k=9,
    fraction=0.25,
    threshold_level=0.125,
    random_seed=8,
    added=frozenset({(0, 1), (2, 3)}),
    removed=frozenset({(1, 0)}),
    circuit_panel="Overlap",
    depth=2,
    each=0.1,
    min_edge=0.3,
)


@pytest.fixture
def view(circuit_view):
    return circuit_view


@pytest.fixture
def task_file(circuit_task):
    return circuit_task


def notice(app: AppTest) -> str:
    return "".join(one.value.replace("\\", "") for one in app.warning)


def test_every_field_comes_back_as_it_was():
    query = link_format.write(CHANGED)
    fields, problems = link_format.read(query, CHOICES)
    assert problems == [] and replace(View(), **fields) == CHANGED
    assert query["add"] == "0.1_2.3" and query["head"] == "1.2"
    assert all(isinstance(text, str) for text in query.values())


def another_value(name: str):
    """A valid value of a field of the view that is not its default."""
    field = View.__dataclass_fields__[name]
    default, limits = getattr(View(), name), field.metadata
    if "options" in limits:
        return next(option for option in limits["options"] if option != default)
    if field.type is bool:
        return not default
    if field.type in (int, float):
        return field.type(limits["high"] if default != limits["high"] else limits["low"])
    if field.type is str:
        return "a name & <b>,more</b>"
    return {str: ["a,b", "c d", "%7e"], int: [31, 777]}[get_args(field.type)[0]]


@pytest.mark.parametrize("name", link_format.BY_NAME)
def test_every_setting_of_a_page_survives_a_reload(name):
    view = replace(View(), **{name: another_value(name)})
    query = link_format.write(view)
    read, problems = link_format.read(query, CHOICES)
    assert problems == [] and read[name] == getattr(view, name) != getattr(View(), name)


def test_a_list_that_was_emptied_stays_empty():
    query = link_format.write(View(lora_targets=[]))
    assert link_format.read(query, CHOICES) == ({"lora_targets": []}, [])


def constant(page: str, name: str) -> tuple[str, ...]:
    """A tuple of texts of a page's module, which cannot be imported without running the page."""
    tree = ast.parse((APP.parent / page).read_text(encoding="utf-8"))
    return next(
        ast.literal_eval(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and one.targets[0].id == name
    )


def test_the_options_of_the_view_are_those_of_the_pages():
    options = {one.name: one.metadata.get("options") for one in fields(View)}
    assert options["comparison"] == constant("relevance/page.py", "COMPARISONS")
    assert options["head_view"] == tuple(head_on_text.VIEWS)
    assert options["advice_map"] == tuple(plots_advice.MAPS)
    assert options["measure"] == tuple(plots_faithfulness.MEASURES)
    assert options["tune_tab"] == constant("finetune/page.py", "TABS")
    assert options["after_panel"] == after_run.PANELS
    assert options["tune_panel"] == one_run.PANELS
    assert options["hold_part"] == options["hold_everything"] == tuple(command.HOLDS)
    assert options["kv"] == tuple(advanced_form.KV)
    assert options["precision"] == tuple(advanced_form.PRECISION)
    assert options["pool"] == options["design_pool"] == tuple(advanced_form.POOLS)
    assert options["compare_order"] == tuple(filters.ORDERS)


def unknown_values() -> dict[str, str]:
    """A query with a value that is not offered for every text and list of the pages."""
    query = {}
    for name in link_format.BY_NAME:
        field = View.__dataclass_fields__[name]
        if "options" not in field.metadata and field.type not in (bool, int, float):
            query[name.replace("_", "-")] = "7,8" if field.type == list[int] else "zzz"
    return query | {"what": "zzz", "every-way": "1", "after-panel": "Files and export"}


@pytest.mark.parametrize("page", ["setup", "relevance", "circuit", "finetune", "compare"])
@pytest.mark.parametrize("tab", ["One run", "Experiment"])
def test_values_that_a_page_does_not_offer_break_no_page(view, page, tab):
    keep(view)
    recent.remember("models", view.model)
    query = link_format.write(view) | unknown_values() | {"tune-tab": tab}
    app = followed(page, query)
    assert "opened without" not in notice(app) and not app.error
    assert app.session_state["view"].size == view.size


def test_an_address_that_the_session_wrote_is_not_applied_again():
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.query_params.update({"k": "9"})
    shown(app.run())
    app.session_state["view"].k = 3
    shown(app.run())
    assert app.session_state["view"].k == 3
    app.query_params.update({"k": "9"})  # back to the first entry of the browser's history
    shown(app.run())
    assert app.session_state["view"].k == 3
    app.query_params.update({"k": "5"})  # a link that was opened in the same tab
    shown(app.run())
    assert app.session_state["view"].k == 5


def test_defaults_are_not_written_and_every_field_is_one_of_the_view():
    assert link_format.write(View()) == {}
    assert {field for field, *_ in link_format.FIELDS.values()} <= set(View.__dataclass_fields__)
    assert link_format.write(View(task="xnli", source="english", target="thai")) == {
        "task": "xnli",
        "source": "english",
        "target": "thai",
    }
    assert link_format.write(View(task="nusax"))["target"] == "english", (
        "another task has another first target, so it is written"
    )


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        ("k", "banana"),
        ("k", "-1"),
        ("k", "1e3"),
        ("k", ""),
        ("k", "9" * 5000),
        ("share", "nan"),
        ("share", "2"),
        ("level", "inf"),
        ("head", "1"),
        ("head", "1.2.3"),
        ("head", "-1.0"),
        ("add", "0.1__2.3"),
        ("add", "x"),
        ("flip", "yes"),
        ("method", "best"),
        ("rule", "top2"),
        ("show", "<b>"),
        ("rows", "../secret"),
        ("attention", ""),
        ("n", "0"),
        ("each", "0"),
        ("depth", "99"),
        ("draw", "1.5"),
        ("add", "0.1" * 9000),
        ("utm", "x"),
        ("__class__", "x"),
        ("kept", "x"),
    ],
)
def test_a_value_that_is_not_valid_is_reported_and_the_rest_counts(parameter, text):
    fields, problems = link_format.read({parameter: text, "seed": "7"}, CHOICES)
    assert fields == {"pool_seed": 7} and len(problems) == 1
    assert parameter in problems[0] and len(problems[0]) < 200


def test_an_older_link_opens_the_panel_under_its_current_name():
    fields, problems = link_format.read({"show": "Kept circuits"}, CHOICES)
    assert fields == {"circuit_panel": "Saved circuits"} and problems == []


def test_heads_beyond_the_model_are_left_out_and_named():
    fields = {
        "added": frozenset({(0, 1), (9, 0)}),
        "removed": frozenset({(0, 4)}),
        "head": (3, 0),
        "k": 2,
    }
    assert link_format.within_model(fields, 3, 4) == (
        {"added": {(0, 1)}, "removed": frozenset(), "k": 2},
        ["L0.H4, L3.H0, L9.H0 (the model has 3 layers of 4 heads)"],
    )
    assert link_format.within_model({"k": 1}, 3, 4) == ({"k": 1}, [])


def test_a_discovered_circuit_goes_by_its_run_or_head_by_head():
    circuit = Circuit(
        frozenset({(0, 1), (1, 2)}),
        rule={"name": "discover", "run": "a-run"},
        edges=(((0, 1), LOGITS, 1.0),),
    )
    assert link_format.write(View(rule="discover", discovered=circuit)) == {
        "rule": "discover",
        "found": "a-run",
    }
    query = link_format.write(
        View(
            rule="discover",
            discovered=replace(circuit, rule={}),
            added=frozenset({(2, 2)}),
            removed=frozenset({(0, 1)}),
        )
    )
    assert query == {"rule": "none", "add": "1.2_2.2"}


def test_a_fresh_session_shows_the_very_circuit_and_view(view):
    keep(view)
    recent.remember("models", view.model)
    mine = replace(
        view,
        rule="least",
        k=2,
        added=frozenset({(1, 1)}),
        removed=frozenset({(2, 2)}),
        head=(1, 1),
        flip=True,
        circuit_panel="Overlap",
    )
    app = AppTest.from_file(str(APP), default_timeout=60)
    app.session_state["view"] = mine
    app.run()
    first = shown(app.switch_page("circuit/page.py").run())
    query = link_format.write(first.session_state["view"])
    second = followed("circuit", query)
    assert (
        not second.warning
        and outlined(second) == outlined(first)
        and heads_shown(second) == heads_shown(first)
    )
    assert (
        chart(second)["data"] == chart(first)["data"]
        and chart(second)["layout"]["yaxis"] == chart(first)["layout"]["yaxis"]
    )
    opened = second.session_state["view"]
    assert all(
        getattr(opened, field) == getattr(mine, field) for field, *_ in link_format.FIELDS.values()
    )
    assert (opened.model, opened.task, opened.model_kind, opened.folder, opened.task_kind) == (
        view.model,
        view.task,
        "folder",
        view.model,
        "file",
    )
    assert link_format.write(opened) == query
    shown(widget(second.number_input, "Heads (k)").set_value(4).run())
    assert second.session_state["view"].k == 4, "read once: a later change is not undone by it"
    relevance = followed("relevance", query)
    assert (
        relevance.header[0].value == "Relevance"
        and relevance.session_state["view"].head == (1, 1)
        and not relevance.warning
    )


def test_what_was_never_opened_here_is_not_opened_by_a_link(view, tmp_path):
    query = {
        "model": str(tmp_path),
        "task": str(tmp_path / "task.json"),
        "data": "/etc",
        "k": "2",
        "head": "1.1",
        "add": "0.0",
    }
    app = followed("circuit", query)
    now = app.session_state["view"]
    assert (now.model, now.task, now.data_dir, now.k, now.head, now.added) == (
        "demo",
        "demo",
        "",
        2,
        None,
        frozenset(),
    )
    assert notice(app).count("never opened here") == 2 and notice(app).startswith(
        "The link was opened without"
    )
    shown(app.run())
    assert "never opened here" in notice(app), "it stands until it is closed"
    shown(next(one for one in app.button if one.label == "Close").click().run())
    assert not app.warning
    assert "never read here" in notice(
        followed("circuit", {"data": "/etc"})
    ) and "its model" in notice(followed("relevance", {"model": "a/b"}))


def test_invalid_values_of_a_link_are_reported_in_one_sentence(view):
    keep(view)
    query = {
        "model": view.model,
        "task": view.task,
        "target": "latin",
        "add": "0.1_9.9",
        "rule": "discover",
        "found": "../../x",
        "k": "banana",
        "n": "1",
        "example": "77",
        "seed": str(view.pool_seed),
    }
    app = followed("circuit", query)
    assert len(app.warning) == 1 and not app.exception
    for text in ("latin", "L9.H9", "its circuit", "banana", "example 77", "size 1"):
        assert text in notice(app), text
    now = app.session_state["view"]
    assert (
        now.model == view.model
        and now.target == "javanese"
        and now.rule == "top"
        and now.size == View.size
    )


def test_a_link_brings_back_a_discovery_by_its_run(view):
    keep(view)
    edges = (((1, 2), LOGITS, 2.0), ((0, 3), (1, 2), 0.5))
    why = {
        (1, 2): "iteration 0: rank 1 for the logits",
        (0, 3): "iteration 1: rank 1 for the heads of iteration 0",
    }
    with runs.record(runs.Request(kind="discover")) as run:
        Circuit(
            frozenset(why), why, made().about, {"name": "discover", "depth": 1}, edges=edges
        ).save(run.file("circuit.json"))
    app = followed(
        "circuit",
        {
            "model": view.model,
            "task": view.task,
            "target": "javanese",
            "rule": "discover",
            "found": run.id,
            "head": "0.3",
        },
    )
    assert (
        outlined(app) == {(1, 2), (0, 3)}
        and not app.warning
        and link_format.write(app.session_state["view"])["found"] == run.id
    )
    assert "discovery iteration 1" in " ".join(one.value.replace("\\", "") for one in app.markdown)
    with runs.record(runs.Request(kind="discover")) as other:
        Circuit(
            frozenset(why), why, made().about | {"n_layers": 24}, {"name": "discover"}, edges=edges
        ).save(other.file("circuit.json"))
    assert "belongs to another model" in notice(
        followed("circuit", {"model": view.model, "rule": "discover", "found": other.id})
    )


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "![x](http://elsewhere)",
        "\0",
        "🙂" * 300,
        "%%%",
        "a=b&c=d",
        ":material/x:",
    ],
)
def test_the_text_of_a_link_is_shown_as_text_only(text):
    app = followed("circuit", {"model": text, "task": text, text: text, "head": text})
    assert len(app.warning) == 1
    shown_text = app.warning[0].value
    assert (
        "<img" not in shown_text.replace("\\<", "")
        and "](" not in shown_text
        and len(shown_text) < 2500
    )
    assert json.dumps(shown_text)
