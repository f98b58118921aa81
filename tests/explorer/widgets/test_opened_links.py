"""Links opened in a fresh session: what they show, and what they do not."""

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.circuit.circuit import LOGITS, Circuit
from explorer.session import link_format, recent
from explorer.session.view import View
from support.circuit_page import heads_shown, keep, made, outlined
from support.pages import APP, chart, first_run, followed, shown, widget


@pytest.fixture
def view(circuit_view):
    return circuit_view


@pytest.fixture
def task_file(circuit_task):
    return circuit_task


def notice(app: AppTest) -> str:
    return "".join(one.value.replace("\\", "") for one in app.warning)


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
    first = shown(first_run(app, "circuit/page.py"))
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
