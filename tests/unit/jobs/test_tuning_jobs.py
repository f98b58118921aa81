"""Tuning as a run, in this process: what it leaves in its folder, stopping and resuming."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ctsft
from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.registry import load_task
from ctsft.data.task import balanced_sample
from ctsft.jobs import (
    request_parts,
    tuning,
    tuning_table,
)
from ctsft.model.evaluation import predict
from ctsft.runs import results
from ctsft.runs.answers import answers_of
from ctsft.tuning.recipes import RECIPES
from support.errors import said
from support.jobs import CONFIG, done, finetune_request, tuned


# these: test_recipes
@pytest.mark.parametrize(
    "what", [what for what, recipe in RECIPES.items() if not (recipe.from_file or recipe.from_base)]
)
def test_every_way_to_tune_leaves_its_delta_and_its_row(subject, scored, what, loaded):
    run, summary = tuned(subject, scored, what=what)
    assert [row["step"] for row in summary["history"]] == [0, 2, 4, 6, 8, 9] and summary[
        "source"
    ] == "indonesian"
    assert summary["history"][0]["accuracy"]["indonesian"] == 1
    assert summary["heads"] == (3 if RECIPES[what].needs_heads else None) and summary["n"] == 12
    moved = load_file(run.file("delta.safetensors"))
    assert (
        sum(
            value.numel()
            for name, value in moved.items()
            if not name.endswith((":rows", ":columns"))
        )
        == summary["trainable"]
    )
    assert not run.file("checkpoints").exists()
    row = tuning_table.table_rows()[0]
    assert (row["run"], row["what"], row["target"], row["seed"], row["source_before"]) == (
        run.id,
        what,
        "javanese",
        31,
        1,
    )
    assert (
        row["share"] == summary["trainable"] / loaded["qwen2"].n_params
        and row["gain"] == row["target_after"] - row["target_before"]
    )
    outside, shares = summary["outside"], summary["shares"]
    assert outside["identical"] == outside["parameters"] < loaded["qwen2"].n_params
    assert (outside["parameters"] == 0) == (what == "full")
    if not RECIPES[what].description.startswith("LoRA"):
        assert outside["parameters"] == loaded["qwen2"].n_params - summary["trainable"]
    assert [point["share"] for point in shares["points"]] == [step / 10 for step in range(11)]
    assert shares["split"] == "valid" and shares["rows"] == {"indonesian": 9, "javanese": 9}
    if what in ("circuit", *request_parts.CONTROLS):
        scores, rule = (
            Scores.load(scored.file("scores.safetensors")),
            {"circuit": "top"}.get(what, what),
        )
        assert Circuit.load(run.file("circuit.json")) == ctsft.select(scores, rule, k=3)


def test_a_held_run_reads_pool_a_of_the_source_and_never_test_rows(subject, home):
    """The numbers of the library, given pool A; other source rows give others."""
    held = CONFIG.model_copy(update={"hold": 9.0})
    run, summary = done(finetune_request(subject, held, what="full", n=12))
    assert summary["config"]["hold"] == 9
    task, delta = load_task(subject.task), load_file(run.file("delta.safetensors"))
    train = balanced_sample(task.load("javanese", "train"), 12, task.labels, held.seed)
    pool, others = task.pools(task.load("indonesian", "train"))
    for source, equal in ((pool, True), (others, False)):
        model = ctsft.load_model(subject.model, "cpu")
        ctsft.finetune(model, task, "full", train, {}, held, source=source).delta.save(
            home / "library"
        )
        saved = load_file(home / "library")
        assert all(torch.equal(saved[name], delta[name]) for name in delta) == equal
    on_test = finetune_request(replace(subject, split="test"), held, what="full", n=6)
    said(lambda: done(on_test), "never held by test rows")


def test_right_or_wrong_is_stored_for_every_row_and_test_rows_are_measured_at_the_ends(
    subject, scored, home
):
    """Without any choice of splits: curves of validation rows, the final figure of test rows."""
    run, summary = tuned(subject, scored, what="full")
    task = load_task(subject.task)
    of = answers_of(run)["javanese"]
    rows, valid = task.load("javanese", "test"), task.load("javanese", "valid")
    model = ctsft.apply_delta(ctsft.load_model(subject.model, "cpu"), run.file("delta.safetensors"))

    def right(rows) -> str:
        answers = zip(rows, predict(model, task, rows), strict=True)
        return "".join("01"[row.label == label] for row, label in answers)

    assert (of.split, of.ids) == ("test", tuple(row.id for row in rows))
    assert of.after == right(rows)
    assert summary["history"][-1]["metrics"]["javanese"]["right"] == right(valid)


def test_curves_without_validation_rows_are_refused_in_a_sentence(subject, scored, home, tmp_path):
    shutil.copytree(Path(subject.task).parent, tmp_path / "own")
    (tmp_path / "own" / "javanese" / "valid.csv").unlink()
    subject = replace(subject, task=str(tmp_path / "own" / Path(subject.task).name))
    said(lambda: tuned(subject, scored, what="full"), "javanese has no validation rows")
    _, summary = tuned(subject, scored, what="full", eval_split="test", final_split=None)
    assert summary["answered"]["split"] == "test" and "final" not in summary


def test_shares_are_measured_on_validation_rows_with_the_delta_s_share(subject, scored, home):
    run, summary = tuned(subject, scored, what="full", eval_split="valid", final_split="test")
    task, points = load_task(subject.task), summary["shares"]["points"]
    rows = {name: task.load(name, "valid") for name in ("indonesian", "javanese")}
    assert points[0]["accuracy"] == summary["history"][0]["accuracy"]
    assert points[-1]["accuracy"] == summary["history"][-1]["accuracy"] != points[0]["accuracy"]
    for point in points[3:8:4]:
        model = ctsft.load_model(subject.model, "cpu")
        ctsft.apply_delta(model, run.file("delta.safetensors"), point["share"])
        for name, some in rows.items():
            assert point["accuracy"][name] == ctsft.accuracy(model, task, some)
    assert tuned(subject, scored, what="norms", shares=False)[1]["shares"] is None


def test_the_final_figures_are_those_of_the_checkpoint_and_of_the_delta(subject, scored, home):
    run, summary = tuned(subject, scored, what="full")
    task, model = load_task(subject.task), ctsft.load_model(subject.model, "cpu")
    rows = {name: task.load(name, "test") for name in ("indonesian", "javanese")}
    for when in ("before", "after"):
        for name, some in rows.items():
            accuracy = summary["final"][when][name]["accuracy"]
            assert accuracy == ctsft.accuracy(model, task, some), (when, name)
        if when == "before":
            ctsft.apply_delta(model, run.file("delta.safetensors"))
    assert summary["final"]["before"] != summary["final"]["after"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_checkpoint_that_changed_meanwhile_gives_no_final_figures(
    subject, scored, monkeypatch, home, tmp_path, gone
):
    folder = tmp_path / "changing"
    shutil.copytree(subject.model, folder)

    def while_it_trains(*arguments, **options):
        result = ctsft.finetune(*arguments, **options)
        other = ctsft.load_model(subject.model, "cpu")
        with torch.no_grad():
            other.hf.get_parameter("model.layers.0.mlp.up_proj.weight")[0, 0] += 1
        other.hf.save_pretrained(folder)
        if gone:
            (folder / "model.safetensors").unlink()
        return result

    monkeypatch.setattr(tuning, "finetune", while_it_trains)
    run, summary = tuned(replace(subject, model=str(folder)), scored, what="full")
    assert summary["outside"] is summary["shares"] is None and "final" not in summary
    assert any("while the run trained" in note for note in summary["notes"])
    assert run.file("delta.safetensors").is_file() and len(summary["history"]) > 1


def test_a_number_that_tuning_changed_outside_is_reported(subject, scored, monkeypatch, home):
    """A leak, planted: one number of an MLP, by a small step."""

    def leaking(*arguments, **options):
        result = ctsft.finetune(*arguments, **options)
        weight = result.model.hf.get_parameter("model.layers.0.mlp.up_proj.weight")
        with torch.no_grad():
            weight[0, 0] += 1e-3
        return result

    monkeypatch.setattr(tuning, "finetune", leaking)
    _, summary = tuned(subject, scored, what="norms")
    outside = summary["outside"]
    assert outside["identical"] == outside["parameters"] - 1
    assert outside["text"].startswith("1 of ") and "differ" in outside["text"]


def test_without_scores_the_heads_are_scored_first_and_the_model_can_be_kept(subject, home):
    run, summary = done(finetune_request(subject, k=2, n=6, save_model=True))
    assert len(Scores.load(run.file("scores.safetensors")).examples) == 6 and summary["heads"] == 2
    rows = load_task(subject.task).load("javanese", "test")
    assert (
        ctsft.accuracy(str(run.file("model")), load_task(subject.task), rows)
        == summary["final"]["after"]["javanese"]["accuracy"]
    )


def test_a_stopped_tuning_run_resumes_in_its_folder_to_the_same_numbers(
    subject, scored, monkeypatch
):
    whole, uninterrupted = tuned(subject, scored)
    asked, real = [], runs.Writer.stop_requested

    def keep(run):
        asked.append(1)
        if len(asked) == 4:
            run.file("stop").write_text("keep")
        return real(run)

    monkeypatch.setattr(runs.Writer, "stop_requested", keep)
    run, first = tuned(subject, scored)
    assert (
        first["stopped"] and first["history"][-1]["step"] == 4 and run.status().state == "stopped"
    )
    assert run.file("delta.safetensors").is_file() and run.file("checkpoints").is_dir()
    monkeypatch.setattr(runs.Writer, "stop_requested", real)
    again, second = tuned(subject, scored, run_id=run.id)
    assert (
        again.status().state == "done"
        and not second["stopped"]
        and not run.file("checkpoints").exists()
    )
    mine, theirs = (load_file(of.file("delta.safetensors")) for of in (run, whole))
    assert set(mine) == set(theirs) and all(
        torch.equal(mine[name], theirs[name]) for name in theirs
    )
    for one, other in zip(second["history"], uninterrupted["history"], strict=True):
        assert (one["step"], one["accuracy"]) == (other["step"], other["accuracy"])
    assert [row["step"] for row in results.evaluations(run)] == [0, 2, 4, 6, 8, 9]
    assert len(tuning_table.table_rows()) == 2


def test_competence_tuning_has_one_set_and_no_row_in_the_comparison(subject, home):
    _, summary = done(finetune_request(subject, target="indonesian", what="full", n=0))
    assert (
        summary["n"] == 29
        and list(summary["history"][0]["accuracy"]) == ["indonesian"]
        and tuning_table.table_rows() == []
    )
