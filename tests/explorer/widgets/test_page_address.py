"""A link: every field comes back unchanged; what cannot be used is reported in one sentence, never
as an error, and the rest counts.
"""

import ast
from dataclasses import fields, replace
from typing import get_args

import pytest
from streamlit.testing.v1 import AppTest

from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.plots import advice as plots_advice
from ctsft.plots import faithfulness as plots_faithfulness
from explorer.compare import filters
from explorer.finetune import advanced_form, after_run, command, one_run, row_pools
from explorer.relevance import head_on_text
from explorer.session import link_format
from explorer.session.view import View
from explorer.text import circuit_rules
from explorer.widgets import page_address
from support.pages import APP, shown

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
    assert options["pool"] == options["design_pool"] == tuple(row_pools.POOLS)
    assert options["compare_order"] == tuple(filters.ORDERS)


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
