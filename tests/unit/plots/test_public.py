"""The public charts: each takes the library's own objects, shows their numbers and refuses other
input in one sentence.
"""

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

import ctsft
from ctsft import plots, runs
from ctsft.circuit.checks import Checks
from ctsft.jobs.requests import FinetuneRequest, Tuning
from ctsft.plots.style import alt
from support.scores import made
from support.tasks import agreed, cued
from support.training import CIRCUIT, HEADS, QUICK

FAMILY = "qwen2"  # 3 layers of 4 heads in groups of 2


@pytest.fixture(scope="module")
def model(loaded):
    return loaded[FAMILY]


@pytest.fixture(scope="module")
def pool(model, task):
    return ctsft.discovery_set(model, task, agreed(model, task, each=4), size=6)


@pytest.fixture(scope="module")
def means(model, task, pool):
    return ctsft.label_balanced_means(model, task, pool)


@pytest.fixture(scope="module")
def scores(model, task, pool, means):
    return ctsft.score_heads(model, task, pool, means, method="atp")


@pytest.fixture(scope="module")
def circuit(scores):
    return ctsft.select(scores, "top", k=3)


@pytest.fixture(scope="module")
def tuned(build, task):
    """A tiny model that was tuned, and what came of it."""
    sets = {"indonesian": cued(6, 1), "javanese": cued(9, 2)}
    return ctsft.finetune(build(FAMILY), task, CIRCUIT, cued(12), sets, QUICK)


def outlined(fig) -> int:
    """How many heads a map outlines."""
    outline = next((trace for trace in fig.data if trace.name == "outline"), None)
    return list(outline.x).count(None) if outline else 0


def test_head_map_shows_scores_and_outlines_the_circuit(scores, circuit, model):
    fig = plots.head_map(scores, circuit, model=model, selected=(0, 1))
    assert np.allclose(fig.data[0].z, scores.values) and outlined(fig) == 3
    cells = next(trace for trace in fig.data if trace.name == "heads")
    assert "shares keys and values: H0 to H1" in cells.text[0] and "Attribution" in alt(fig)
    bare = plots.head_map(scores)
    assert outlined(bare) == 0
    assert not any("circuit" in text for text in bare.data[-1].text), "there is none to speak of"
    assert "not in the circuit" in cells.text[circuit_free(circuit)]


def circuit_free(circuit) -> int:
    """The place of a head outside the circuit among the cells."""
    return next(i for i in range(12) if (i // 4, i % 4) not in circuit)


def test_label_maps_stand_side_by_side_on_one_scale(scores, means, circuit, task):
    for values, unit in ((scores, "attribution (logits)"), (means, "distance (norm)")):
        fig = plots.label_maps(values, circuit, flip=True)
        maps = [trace for trace in fig.data if trace.type == "heatmap"]
        assert len(maps) == len(task.labels) == len({trace.xaxis for trace in maps})
        assert len({trace.zmax for trace in maps}) == 1
        assert [trace.showscale for trace in maps] == [False, False, True]
        assert unit in maps[-1].colorbar.title.text and fig.layout.yaxis2.scaleanchor == "x2"
        assert fig.layout.yaxis3.range[0] < fig.layout.yaxis3.range[1], "layer 0 is at the bottom"
        assert [note.text for note in fig.layout.annotations] == list(values.by_label)
    assert np.allclose(maps[0].z, (means.by_label["negative"] - means.values).norm(dim=-1))


def test_means_map_shows_norms(means, circuit):
    fig = plots.means_map(means, circuit)
    assert np.allclose(fig.data[0].z, means.values.norm(dim=-1)) and fig.data[0].zmin == 0


def test_one_heads_scores_by_label_and_by_example(scores):
    bars = plots.score_bars(scores, (2, 1)).data
    assert {bar.name: bar.x[0] for bar in bars} == pytest.approx(
        {label: mean[2, 1].item() for label, mean in scores.by_label.items()}
    )
    points = plots.example_strip(scores, (2, 1)).data
    shown = {tuple(at)[0]: x for trace in points for at, x in zip(trace.customdata, trace.x)}  # noqa: B905
    assert [shown[i] for i in range(6)] == pytest.approx(scores.per_example[:, 2, 1].tolist())


def test_agreement_names_the_methods(scores, model, task, pool, means):
    other = ctsft.score_heads(model, task, pool, means, method="ablation")
    fig = plots.agreement(scores, other, selected=(0, 0))
    assert len(fig.data[0].x) == 12 and fig.data[1].name == "selected"
    assert fig.layout.xaxis.title.text.startswith("Attribution patching")
    assert fig.layout.yaxis.title.text.startswith("Mean ablation")


def test_faithfulness_curve_draws_what_the_library_measured(scores, model, task, means):
    rows = agreed(model, task, each=2)
    points = list(ctsft.faithfulness_curve(model, task, scores, rows, means, [0, 3, 12], 2))
    fig = plots.faithfulness_curve(points, "margin")
    ranked = next(trace for trace in fig.data if trace.name == "circuit")
    assert list(ranked.x) == [0, 3, 12] and ranked.y[0] == 0 and ranked.y[-1] == 1
    assert plots.faithfulness_curve({"points": points}, "margin").data[-1].y == ranked.y
    same = [point | {"accuracy": float("nan")} for point in points]
    with pytest.raises(ctsft.UserError, match="not defined by this measure"):
        plots.faithfulness_curve(same)


def test_run_curves_take_a_result_a_history_and_several(tuned):
    fig = plots.run_curves(tuned, chance=1 / 3)
    curves = {trace.name: trace for trace in fig.data}
    assert set(curves) == {"indonesian", "javanese", "training loss"}
    assert list(curves["javanese"].y) == [row["accuracy"]["javanese"] for row in tuned.history]
    assert "javanese (target)" in alt(fig)
    assert "indonesian (target)" in alt(plots.run_curves(tuned.history, target="indonesian"))
    both = plots.run_curves({"first": tuned, "second": tuned.history})
    assert {"javanese, first", "training loss, second"} <= {trace.name for trace in both.data}


def test_run_curves_take_run_folders(tuned):
    folders = []
    for _ in range(2):
        request = FinetuneRequest(name="a run", tuning=Tuning(target="indonesian"))
        with runs.record(request) as run:
            for row in tuned.history:
                run.event(kind="evaluation", **row)
            run.file("result.json").write_text('{"target": "indonesian"}')
        folders.append(runs.get(run.id))
    accuracies = [row["accuracy"]["javanese"] for row in tuned.history]
    for one in (folders[0], folders[0].path, str(folders[0].path)):
        fig = plots.run_curves(one)
        drawn = {trace.name: trace for trace in fig.data}
        assert list(drawn["javanese"].y) == accuracies and "indonesian (target)" in alt(fig)
    names = [f"javanese, a run ({folder.id})" for folder in folders]
    assert set(names) <= {trace.name for trace in plots.run_curves(folders).data}


def test_frontier_takes_rows_of_an_experiment_or_of_runs():
    run = {
        "run": "r1",
        "name": "",
        "what": "circuit",
        "seed": 1,
        "target": "javanese",
        "n": 25,
        "source_before": 0.8,
        "source_after": 0.7,
        "target_before": 0.4,
        "target_after": 0.6,
    }
    fig = plots.frontier([run, run | {"what": "full", "source_after": 0.5}])
    assert {trace.name for trace in fig.data} == {"circuit", "full", "frontier"}
    mark = next(trace for trace in fig.data if trace.name == "circuit")
    assert (mark.x[0], mark.y[0]) == (pytest.approx(-0.1), pytest.approx(0.2))


def test_overlap_counts_shared_heads(scores, circuit):
    other = ctsft.select(scores, "top", k=6)
    fig = plots.overlap([circuit, other])
    assert [list(row) for row in fig.data[0].z] == [[1, 0.5], [0.5, 1]]
    assert "3 of 6 heads shared" in fig.data[0].text[0][1]
    assert plots.overlap({"a": circuit, "b": other}).data[0].z == fig.data[0].z


def test_discovery_graph_draws_every_edge(model, task, pool, means):
    discovered = ctsft.discover(model, task, pool, means, depth=1, fraction=0.17)
    fig = plots.discovery_graph(discovered)
    hover = next(trace for trace in fig.data if trace.name == "relevance")
    assert len(hover.x) == len(discovered.edges) and fig.layout.xaxis.tickvals[-1] == 3
    assert len(plots.discovery_graph(discovered, least=1.0).data) < len(fig.data) + 1


def test_advice_map_numbers_the_advised(model, task, circuit):
    advice = ctsft.advise_heads(model, task, cued(6, 1), cued(6, 2))
    for given in (advice, advice.ranking()):
        fig = plots.advice_map(given, "asks", circuit, k=2)
        assert np.allclose(fig.data[0].z, advice.gradient) and outlined(fig) == 3
        ranks = {
            (note.y, note.x): note.text for note in fig.layout.annotations if note.name == "rank"
        }
        assert ranks == {head: f"<b>{i}</b>" for i, head in enumerate(advice.order(2), 1)}


def test_validation_chart_draws_a_report(model, task):
    rows = agreed(model, task, each=4)
    checks = Checks(methods=("atp",), size=6, rows=6, n_random=2, pools=0)
    *_, (_, report) = ctsft.validate(model, task, rows, rows, checks)
    fig = plots.validation_chart(report)
    names = {trace.name for trace in fig.data}
    assert {"Mean ablation", "Attribution patching"} <= names
    assert plots.validation_chart(report.as_json()).to_json() == fig.to_json()
    with pytest.raises(ctsft.UserError, match="no faithfulness of rankings yet"):
        plots.validation_chart(replace(report, curves=[]))


def test_weight_change_shows_which_heads_tuning_changed(tuned, model, tmp_path):
    fig = plots.weight_change(tuned.delta, model, CIRCUIT)
    changed = {(layer, head) for layer, head in np.argwhere(np.array(fig.data[0].z) > 0)}
    assert changed >= HEADS and outlined(fig) == len(HEADS)
    path = tmp_path / "delta.safetensors"
    tuned.delta.save(path)
    assert plots.weight_change(path, model).data[0].z == fig.data[0].z
    with pytest.raises(ctsft.UserError, match="belongs to another model, or the model is tuned"):
        plots.weight_change(tuned.delta, tuned.model)


@pytest.mark.parametrize(
    ("chart", "arguments"),
    [
        (plots.head_map, [np.eye(3)]),
        (plots.label_maps, [np.eye(3)]),
        (plots.means_map, [made([[1.0, 2.0]])]),
        (plots.score_bars, [{}, (0, 0)]),
        (plots.score_bars, [made([[1.0, 2.0]]), (0, 2)]),
        (plots.example_strip, [made([[1.0, 2.0]]), (0, 0), ["one text for two examples"]]),
        (plots.agreement, [made([[1.0, 2.0]]), np.eye(2)]),
        (plots.agreement, [made([[1.0, 2.0]]), made([[1.0]])]),
        (plots.faithfulness_curve, [ctsft.Faithfulness({}, 1)]),
        (plots.faithfulness_curve, [[{"size": 3}]]),
        (plots.faithfulness_curve, [[], "f1"]),
        (plots.run_curves, [made([[1.0]])]),
        (plots.run_curves, [[]]),
        (plots.run_curves, [[{"step": 0, "accuracy": {"a": 0.5}}], "b"]),
        (plots.frontier, [[{"step": 0}]]),
        (plots.frontier, [3]),
        (plots.overlap, [[CIRCUIT]]),
        (plots.overlap, [[CIRCUIT, CIRCUIT]]),
        (plots.overlap, [[CIRCUIT, {(0, 1)}]]),
        (plots.discovery_graph, [CIRCUIT]),
        (plots.discovery_graph, [{(0, 1)}]),
        (plots.advice_map, [made([[1.0]])]),
        (plots.validation_chart, ["report.json"]),
        (plots.validation_chart, [{}, "f1"]),
        (plots.weight_change, ["delta.safetensors", "demo"]),
    ],
)
def test_other_input_is_refused_in_one_sentence(chart, arguments):
    if chart is plots.run_curves and len(arguments) == 2:
        with pytest.raises(ctsft.UserError, match="'b' was not evaluated"):
            chart(arguments[0], target=arguments[1])
        return
    with pytest.raises(ctsft.UserError) as raised:
        chart(*arguments)
    text = str(raised.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 250


def test_a_circuit_of_another_shape_is_refused(scores, means, circuit):
    larger = replace(circuit, model={"n_layers": 12, "n_heads": 12})
    outside = ctsft.Circuit(frozenset({(7, 0)}))
    for chart, values in (
        (plots.head_map, scores),
        (plots.label_maps, scores),
        (plots.label_maps, means),
        (plots.means_map, means),
    ):
        with pytest.raises(ctsft.UserError, match="of 12 layers x 12 heads, and the map has 3 x 4"):
            chart(values, larger)
        with pytest.raises(ctsft.UserError, match="L7.H0 is not on this map of 3 layers x 4 heads"):
            chart(values, outside)
        with pytest.raises(ctsft.UserError, match="L0.H9 is not on this map"):
            chart(values, circuit, selected=(0, 9))
        assert isinstance(chart(values, circuit), go.Figure)


def test_an_unscored_head_is_left_blank():
    values = made([[1.0, float("nan")]])
    fig = plots.head_map(values)
    assert torch.isnan(torch.tensor(fig.data[0].z[0][1])) and "not computed" in fig.data[-1].text[1]
