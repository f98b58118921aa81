"""The Circuit page's sections: circuits kept by name, overlap at one click, discovery as a graph;
on a tiny model with scores made by hand.
"""

import json
from dataclasses import replace

import torch
from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.circuit.circuit import LOGITS, Circuit
from ctsft.jobs.scoring import discover
from explorer.circuit import overlap_choices
from explorer.session import inputs, requests, saved_circuits, score_runs
from support.circuit_page import heads_shown, keep, made, opened, outlined
from support.pages import button, chart, shown, widget
from support.tasks import agreed, write_task

EDGES = (((1, 2), LOGITS, 2.0), ((2, 1), LOGITS, 1.5), ((0, 3), (1, 2), 0.5), ((0, 3), (2, 1), 0.1))


WHY = {
    (1, 2): "iteration 0: rank 1 for the logits, score 2",
    (2, 1): "iteration 0: rank 2 for the logits, score 1.5",
    (0, 3): "iteration 1: rank 1 for the heads of iteration 0, score 0.3",
}


def on(view, section: str) -> AppTest:
    return opened(replace(view, circuit_panel=section))


def keyed(app: AppTest, key: str):
    return next(one for one in app.button if one.key == key)


def keep_as(app: AppTest, name: str) -> AppTest:
    shown(widget(app.text_input, "Name").set_value(name).run())
    return shown(button(app, "Save this circuit").click().run())


def discovered(view, wanted: int = 1, edges=EDGES, **rule) -> runs.Run:
    model = inputs.load_model(view.model)
    asked = replace(view, depth=wanted)
    with runs.record(requests.discover_request(asked)) as run:
        run.add_facts(model_fingerprint=model.fingerprint)
        heads = {source: WHY[source] for source, _, _ in edges}
        Circuit(
            frozenset(heads),
            heads,
            made().about,
            {"name": "discover", "depth": 1} | rule,
            edges=edges,
        ).save(run.file("circuit.json"))
    return run


def other_scores(view, **changes) -> runs.Run:
    """A finished scoring of the same weights: `best` heads first, of another language or method."""
    best, method = changes.pop("best"), changes.get("method", "cdt")
    asked = replace(view, **changes)
    with runs.record(requests.score_request(asked)) as run:
        run.add_facts(model_fingerprint=inputs.load_model(view.model).fingerprint)
        made(best, method).save(run.file("scores.safetensors"))
    return run


def test_kept_circuits_are_listed_restored_renamed_and_removed(view):
    keep(view)
    app = on(view, "Saved circuits")
    assert any("No circuit is saved yet" in info.value for info in app.info)
    keep_as(app, "mine")
    assert (
        saved_circuits.read("mine").heads == {(1, 2), (0, 0), (2, 3)}
        and "Saved 3 heads" in app.success[0].value
    )
    shown(widget(app.number_input, "Heads (k)").set_value(1).run())
    keep_as(app, "mine")
    assert (
        saved_circuits.names().count("mine 2") == 1 and "the name was taken" in app.success[0].value
    )
    assert any("**mine 2** · 1 head · top k" in one.value for one in app.markdown)
    shown(keyed(app, "restore-mine").click().run())
    assert heads_shown(app) == "3 of 12" and widget(app.number_input, "Heads (k)").value == 3
    shown(button(app, "Undo").click().run())
    assert heads_shown(app) == "1 of 12"
    shown(next(one for one in app.text_input if one.key == "name-mine").set_value("../best").run())
    assert set(app.session_state["view"].saved_circuits) == {"best", "mine 2"} and set(
        saved_circuits.names()
    ) == {
        "best",
        "mine 2",
    }
    shown(keyed(app, "remove-best").click().run())
    assert set(saved_circuits.names()) == {"best", "mine 2"}, "removing asks first"
    shown(button(app, "Remove it").click().run())
    assert (
        set(app.session_state["view"].saved_circuits) == {"mine 2"} == set(saved_circuits.names())
    )


def test_kept_maps_stand_side_by_side_on_one_scale(view):
    keep(view)
    app = on(view, "Saved circuits")
    keep_as(app, "three")
    shown(widget(app.number_input, "Heads (k)").set_value(1).run())
    keep_as(app, "one")
    maps = [json.loads(one.proto.spec) for one in app.get("plotly_chart")][-2:]
    outlines = [
        next(trace["x"] for trace in fig["data"] if trace.get("name") == "outline") for fig in maps
    ]
    assert [fig["layout"]["title"]["text"] for fig in maps] == ["three", "one"] and len(
        outlines[0]
    ) > len(outlines[1])
    assert maps[0]["data"][0]["zmax"] == maps[1]["data"][0]["zmax"]


def test_another_session_sees_nothing_until_it_asks_and_overwrites_nothing(view):
    keep(view)
    first, second = (
        keep_as(on(view, "Saved circuits"), "mine"),
        on(replace(view, k=1), "Saved circuits"),
    )
    assert not second.session_state["view"].saved_circuits and any(
        "No circuit is saved yet" in info.value for info in second.info
    )
    keep_as(second, "mine")
    assert set(second.session_state["view"].saved_circuits) == {"mine 2"} and set(
        first.session_state["view"].saved_circuits
    ) == {"mine"}
    assert len(saved_circuits.read("mine")) == 3 and len(saved_circuits.read("mine 2")) == 1
    shown(widget(second.selectbox, "Saved in another session").set_value("mine").run())
    assert set(second.session_state["view"].saved_circuits) == {"mine 2", "mine"}
    saved_circuits.save("foreign", Circuit(frozenset({(30, 1)})))
    shown(second.run())
    shown(widget(second.selectbox, "Saved in another session").set_value("foreign").run())
    assert (
        "L30.H1" in second.error[0].value
        and "foreign" not in second.session_state["view"].saved_circuits
    )


def test_overlap_of_a_group_at_one_click(view):
    keep(view)
    app = on(view, "Overlap")
    assert [keyed(app, f"overlap-{group}").disabled for group in overlap_choices.GROUPS] == [
        True,
        True,
        True,
        False,
        True,
    ]
    other_scores(view, source="javanese", best=[(1, 2), (0, 0), (0, 3)])
    other_scores(view, method="atp", best=[(1, 2), (2, 0), (2, 1)])
    with runs.record(requests.score_request(view)) as run:
        run.add_facts(model_fingerprint="another")
        made([(2, 2)]).save(run.file("scores.safetensors"))
    shown(app.run())
    shown(keyed(app, "overlap-languages").click().run())
    assert app.session_state["view"].overlap_circuits == [
        overlap_choices.CURRENT,
        "javanese (train)",
    ]
    assert any(
        "2 of 3 heads are shared, Jaccard 0.50; two random circuits of this size out of 12 heads"
        " reach 0.16" in one.value
        for one in app.markdown
    )
    assert chart(app, -2)["data"][0]["z"][1][2] == 2 and chart(app, -1)["data"][0]["z"] == [
        [1.0, 0.5],
        [0.5, 1.0],
    ]
    shown(keyed(app, "overlap-methods").click().run())
    assert app.session_state["view"].overlap_circuits == [
        overlap_choices.CURRENT,
        "Attribution patching",
    ]
    shown(keyed(app, "overlap-labels").click().run())
    assert app.session_state["view"].overlap_circuits == [
        overlap_choices.CURRENT,
        "label positive",
        "label negative",
    ]
    shown(widget(app.multiselect, "Circuits").set_value(["label positive"]).run())
    assert any("at least two" in info.value for info in app.info)


def test_a_labels_circuit_is_chosen_by_its_own_means():
    scores = made()
    per_example = scores.per_example.clone()
    # counts for the positive example alone
    per_example[0, 2, 0] = 99
    scores = replace(scores, per_example=per_example)
    positive, negative = (
        overlap_choices.of_label(scores, label) for label in ("positive", "negative")
    )
    assert positive.ranking()[0] == (2, 0) and negative.ranking()[0] == (1, 2)
    assert torch.equal(positive.values, scores.by_label["positive"]) and torch.equal(
        negative.values, scores.by_label["negative"]
    )


def test_a_discovery_is_drawn_thresholded_and_put_in_force(view):
    keep(view)
    app = on(view, "Discovery")
    assert any("No discovery has run yet" in info.value for info in app.info)
    run = discovered(view)
    shown(app.run())
    assert any("3 heads after 2 iterations." in one.value for one in app.markdown)
    points = lambda: next(  # noqa: E731
        trace for trace in chart(app, -1)["data"] if trace.get("name") == "relevance"
    )["text"]  # noqa: E731
    assert points() == [
        "L1.H2 → logits: 2",
        "L2.H1 → logits: 1.5",
        "L0.H3 → L1.H2: 0.5",
        "L0.H3 → L2.H1: 0.1",
    ]
    shown(widget(app.slider, "Smallest edge").set_value(0.5).run())
    assert len(points()) == 3 and any("3 of 4 edges" in one.value for one in app.caption)
    shown(button(app, "Use this circuit").click().run())
    assert outlined(app) == set(WHY) and widget(app.button_group, "Rule").value == "discover"
    assert (
        button(app, "Use this circuit").disabled
        and app.session_state["view"].discovered.rule["run"] == run.id
    )
    shown(widget(app.selectbox, "Head").set_value((0, 3)).run())
    assert any(
        "discovery iteration 1" in one.value and "L1\\.H2" in one.value for one in app.markdown
    )
    shown(button(app, "Undo").click().run())
    assert (
        outlined(app) == {(1, 2), (0, 0), (2, 3)}
        and widget(app.button_group, "Rule").value == "top"
    )
    shown(button(app, "Redo").click().run())
    assert outlined(app) == set(WHY) and button(app, "Redo").disabled
    shown(widget(app.button_group, "Section").set_value("Overlap").run())
    shown(keyed(app, "overlap-depths").click().run())
    assert app.session_state["view"].overlap_circuits == [
        overlap_choices.CURRENT,
        "depth 0",
        "depth 1",
    ]


def test_a_discovery_that_ended_in_layer_0_says_so_plainly(view):
    keep(view)
    discovered(view, wanted=2, edges=(((0, 3), LOGITS, 0.5),), depth=0)
    app = on(replace(view, depth=2), "Discovery")
    text = " ".join(one.value for one in app.markdown)
    assert (
        "1 head after 1 iteration, although depth 2 was requested" in text
        and "are in layer 0" in text
    )


def test_the_button_starts_the_discovery_that_the_settings_say(view, monkeypatch):
    keep(view)
    started = []
    monkeypatch.setattr(
        runs, "start", lambda request: started.append(request) or discovered(view, 2)
    )
    app = on(view, "Discovery")
    shown(widget(app.number_input, "Depth").set_value(2).run())
    shown(button(app, "Run discovery").click().run())
    (request,) = started
    assert (request.kind, request.depth, request.fraction) == ("discover", 2, 0.02)
    assert request.subject.model == view.model


def test_the_jobs_own_result_is_what_the_graph_reads(loaded, task, view, tmp_path):
    """A tiny model in which depth 2 does find heads."""
    rows = agreed(loaded["qwen2"], task, each=4)
    tiny_view = replace(
        view,
        size=3,
        depth=2,
        each=0.17,
        task=str(
            write_task(
                tmp_path / "task",
                {(language, "train"): rows for language in ("indonesian", "javanese")},
            )
        ),
    )
    request = requests.discover_request(tiny_view)
    with runs.record(request) as run:
        discover(run, request)
    circuit = score_runs.circuit_of(run)
    assert circuit.rule["depth"] == 2 and len(circuit.edges) >= len(circuit.heads) == 6
    with runs.record(requests.score_request(tiny_view)) as scored:
        made().save(scored.file("scores.safetensors"))
    app = on(tiny_view, "Discovery")
    nodes = {tuple(at) for trace in chart(app, -1)["data"] for at in trace.get("customdata", [])}
    assert nodes == circuit.heads and any(
        "heads after 3 iterations." in one.value for one in app.markdown
    )
