"""Undoing single heads of a finished run: its prices against a literal computation, the paths that
a job measures, and what it writes.
"""

import json

import pytest
import torch
from safetensors.torch import load_file

import ctsft
from ctsft import runs
from ctsft.cli.main import main
from ctsft.jobs.export import base_path
from ctsft.jobs.reporter import Stopped
from ctsft.jobs.requests import (
    FinetuneRequest,
    Scoring,
    Subject,
    Tuning,
    UndoRequest,
    needed_request,
)
from ctsft.jobs.tuning import tune
from ctsft.jobs.undo import Limits, chosen_heads, undo
from ctsft.runs import results
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.delta import Delta
from ctsft.tuning.head_undo import HeadEffect, Undoing
from support.errors import said
from support.tasks import agreed, cued, two_languages, write_task
from support.training import HEADS

QUICK = TuneConfig(epochs=2, learning_rate=1e-2, batch_size=6)


@pytest.fixture
def tuned(folders, loaded, task, tmp_path):
    """Runs a tuning job of a tiny Qwen2, whose source rows it predicts as they are labelled."""
    rows = agreed(loaded["qwen2"], task, each=12)
    tables = two_languages(rows, 24, 6, (24, 6, 6))
    subject = Subject(
        str(folders["qwen2"]), str(write_task(tmp_path / "task", tables)), device="cpu"
    )

    def go(what="full", **more) -> runs.Run:
        request = FinetuneRequest(
            subject=subject,
            scoring=Scoring(size=6, method="atp"),
            tuning=Tuning(target="javanese", what=what, n=6, k=3, shares=False, **more),
            config=QUICK,
        )
        with runs.record(request) as run:
            tune(run, request)
        return run

    return go


def undoing(request: UndoRequest) -> tuple[runs.Run, dict]:
    with runs.record(request) as run:
        undo(run, request)
    return run, results.result(run)


@pytest.fixture
def changed(build, task, tmp_path):
    """(path, model before, Delta) of a tuned circuit, or of full tuning."""

    def go(what, family="qwen2"):
        path = tmp_path / f"{family}-{what if isinstance(what, str) else 'circuit'}.safetensors"
        ctsft.finetune(build(family), task, what, cued(12), {}, QUICK).delta.save(path)
        return path, build(family), Delta.load(path)

    return go


def head_masks(hf, heads):
    """{parameter: bool mask of the numbers of these heads alone}, by hand; groups of two."""
    masks = {n: torch.zeros_like(v, dtype=torch.bool) for n, v in hf.named_parameters()}
    for layer, head in heads:
        at, head_slice = f"model.layers.{layer}.self_attn.", slice(8 * head, 8 * head + 8)
        masks[at + "q_proj.weight"][head_slice] = masks[at + "q_proj.bias"][head_slice] = True
        masks[at + "o_proj.weight"][:, head_slice] = True
    return masks


@pytest.mark.parametrize("what", ["full", ctsft.Circuit(HEADS)])
def test_effects_are_the_slopes_of_both_losses(changed, task, what):
    """Against the losses themselves, when a thousandth of each head's change is undone."""
    path, model, delta = changed(what)
    model.hf.double()
    model.mark_changed()
    about, step = delta.about | {"base": model.fingerprint}, 1e-3
    subject = Undoing(model, Delta(about, delta.tensors), task)
    source, target = cued(9, seed=5), cued(8, seed=2)
    effects = {one.head: one for one in subject.effects(source, target)}
    assert set(effects) == set(subject.trained) and len(effects) == (12 if what == "full" else 3)
    subject.write()
    before = subject.loss(source), subject.loss(target)
    # the last trained head of a group takes the group's rows with it, so groups are compared whole
    for layer, group in {(layer, head // 2) for layer, head in effects}:
        heads = [one for one in effects if (one[0], one[1] // 2) == (layer, group)]
        subject.start.write(model)
        part = subject.delta.scaled(dict.fromkeys(heads, 1 - step))
        part.write(model)
        model.mark_changed()
        slopes = (
            (before[0] - subject.loss(source)) / step,
            (subject.loss(target) - before[1]) / step,
        )
        sums = sum(effects[h].regained for h in heads), sum(effects[h].lost for h in heads)
        assert slopes == pytest.approx(sums, rel=0.05, abs=1e-4)


def test_undoing_gives_back_the_bits_and_counts_them(changed, build, task, tmp_path):
    path, model, delta = changed(ctsft.Circuit(HEADS))
    whole, old = ctsft.apply_delta(build("qwen2"), path), build("qwen2")
    ctsft.undo_heads(path, [(2, 0)], tmp_path / "undone.safetensors")
    undone = ctsft.apply_delta(build("qwen2"), tmp_path / "undone.safetensors")
    # (2, 0) shares its keys with (2, 1), which was not trained: all of it is given back
    masks = head_masks(old.hf, [(2, 0)])
    for name in ("k_proj.weight", "v_proj.weight", "k_proj.bias", "v_proj.bias"):
        masks[f"model.layers.2.self_attn.{name}"][:8] = True
    before, after, given = (dict(m.hf.named_parameters()) for m in (old, whole, undone))
    for name, mask in masks.items():
        assert torch.equal(given[name], torch.where(mask, before[name], after[name]))
    subject = Undoing(model, delta, task)
    assert subject.size([(2, 0)]) == sum(int(mask.sum()) for mask in masks.values())
    assert subject.size([]) == 0
    norms = sum(v.numel() for n, v in old.hf.named_parameters() if "norm" in n)
    assert subject.size(HEADS) == delta.size - norms
    said(lambda: subject.write([(0, 0)]), "L0.H0 was not trained", "L0.H1")
    said(lambda: ctsft.undo_heads(path, [], tmp_path / "none"), "No head to undo")
    said(lambda: Undoing(build("qwen2"), changed("norms")[2], task), "trained no head")


def test_the_order_is_by_price():
    free, cheap, dear, useless = (
        HeadEffect((0, i), regained, lost)
        for i, (regained, lost) in enumerate([(0.1, -0.1), (0.4, 0.1), (0.4, 0.8), (-0.1, 0.0)])
    )
    assert sorted([useless, dear, cheap, free], key=lambda one: one.price) == [
        free,
        cheap,
        dear,
        useless,
    ]


def test_the_stop_is_the_best_source_within_the_limits():
    def point(heads, source, target, undone):
        accuracy = {"s": source, "t": target}
        return {"heads": heads, "head": [0, heads], "undone": undone, "accuracy": accuracy}

    points = [point(0, 0.5, 0.7, 0), point(1, 0.6, 0.68, 10), point(2, 0.6, 0.7, 20)]
    points += [point(3, 0.8, 0.5, 30), point(4, 0.9, 0.7, 99)]
    names = {"source": "s", "target": "t"}

    def stop(lost, undone):
        order = [(0, number) for number in range(1, 6)]
        return len(chosen_heads(points, order, names, Limits(lost, undone)))

    assert stop(0.02, 50) == 1 and stop(0.2, 50) == 3 and stop(0.2, 100) == 4
    assert stop(0.0, 20) == 2 and stop(0.0, 10) == 0


def test_the_cheapest_damage_is_undone_head_by_head(tuned, capsys):
    run = tuned()
    assert main(["undo", run.id, "--most", "5", "--step", "2", "--most-undone", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    job = runs.get(summary["run"])
    assert results.result(job) and summary["split"] == "valid" and summary["trained"] > 1000
    cheapest, drawn = summary["paths"]["cheapest"], summary["paths"]["random"]
    assert [point["heads"] for point in cheapest] == [0, 2, 4, 5] == [p["heads"] for p in drawn]
    assert cheapest[0]["accuracy"] == drawn[0]["accuracy"] and cheapest[0]["undone"] == 0
    assert len(summary["effects"]) == 12 and summary["effects"][0]["measured"]
    order = [one["head"] for one in summary["effects"]]
    assert summary["heads"] == order[: len(summary["heads"])]
    assert [point["head"] for point in cheapest] == [None, order[1], order[3], order[4]]
    # the chosen point's figure is that of the delta that was written
    model = ctsft.apply_delta(
        ctsft.load_model(base_path(run), "cpu"), job.file("delta.safetensors")
    )
    task = ctsft.load_task(needed_request(run).subject.task)
    assert summary["final"]["split"] == "test"
    for language, value in summary["final"]["undone"].items():
        assert ctsft.accuracy(model, task, task.load(language, "test")) == pytest.approx(value)
    (chosen,) = [point for point in cheapest if point["heads"] == len(summary["heads"])]
    for language, value in chosen["accuracy"].items():
        assert ctsft.accuracy(model, task, task.load(language, "valid")) == pytest.approx(value)
    assert set(load_file(job.file("delta.safetensors"))) == set(
        load_file(run.file("delta.safetensors"))
    )


def test_named_heads_are_undone_and_measured(tuned, capsys):
    run = tuned("circuit")
    trained = ctsft.Circuit.load(run.file("circuit.json")).heads
    first = min(trained)
    name = f"L{first[0]}.H{first[1]}"
    assert main(["undo", run.id, "--heads", name, "--final-split", ""]) == 0
    out = capsys.readouterr().out
    assert f"undone: {name}" in out and "valid rows" in out and "test rows" not in out
    done = results.result(runs.list_runs("undo")[0])
    assert done["heads"] == [list(first)] and list(done["paths"]) == ["named"]
    assert [point["heads"] for point in done["paths"]["named"]] == [0, 1]
    other = next(head for head in [(0, 0), (0, 1), (0, 2), (0, 3)] if head not in trained)
    assert main(["undo", run.id, "--heads", f"L0.H{other[1]}"]) == 2
    assert "was not trained" in capsys.readouterr().err
    assert main(["undo", run.id, "--heads", "H3"]) == 2
    assert "write it as L2.H1" in capsys.readouterr().err


def test_a_stopped_undoing_writes_nothing(tuned):
    request = UndoRequest(tuned=tuned("circuit").id)
    with pytest.raises(Stopped), runs.record(request) as job:
        job.file("stop").write_text("keep")
        undo(job, request)
    assert not job.file("result.json").exists() and not job.file("delta.safetensors").exists()
