"""Did the circuit move? Scores before and after tuning, on the same examples; how much each head
changed.
"""

import json
import math

import pytest
import torch

import ctsft
from ctsft import runs
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.cli.main import main
from ctsft.cli.run import execute
from ctsft.jobs import rescoring
from ctsft.jobs.requests import (
    ExportRequest,
    FinetuneRequest,
    RescoreRequest,
    Scoring,
    Subject,
    Tuning,
    request_of,
)
from ctsft.jobs.tuning import tune
from ctsft.runs import results
from ctsft.tuning import delta_comparison
from ctsft.tuning.config import TuneConfig
from support.errors import said
from support.tasks import agreed, two_languages, write_task

SCORING = Scoring(size=6, method="atp")


@pytest.fixture
def tuned(folders, loaded, task, tmp_path):
    """Runs a tuning job of a tiny Qwen2, whose source rows it predicts as they are labelled."""
    rows = agreed(loaded["qwen2"], task, each=12)
    tables = two_languages(rows, 24, 6, (24, 6, 6))
    subject = Subject(
        str(folders["qwen2"]), str(write_task(tmp_path / "task", tables)), device="cpu"
    )

    def go(what="norms", rate=1e-2, kv="group", **more) -> runs.Run:
        request = FinetuneRequest(
            subject=subject,
            scoring=SCORING,
            tuning=Tuning(target="javanese", what=what, n=6, k=2, **more),
            config=TuneConfig(epochs=2, learning_rate=rate, kv=kv, batch_size=6),
        )
        with runs.record(request) as run:
            tune(run, request)
        return run

    return go


def test_nothing_moves_in_the_map_when_nothing_was_learnt(tuned):
    run = tuned(rate=1e-30)
    request = RescoreRequest(tuned=run.id, scoring=SCORING, k=3)
    with runs.record(request) as writer:
        words = rescoring.rescore(writer, request)
    before, after = rescoring.scores_of(writer)
    assert (
        torch.equal(before.values, after.values)
        and words["spearman"] == pytest.approx(1)
        and words["right"] == 1
    )
    assert len(words["stayed"]) == 3 and words["left"] == words["came"] == []
    assert rescoring.newest(run.id).id == writer.id and rescoring.newest("other") is None


@pytest.mark.parametrize("kv", ["group", "expand"])
def test_the_tuned_model_is_scored_on_the_same_examples(tuned, folders, task, kv):
    run = tuned("full" if kv == "group" else "near_zero", kv=kv)
    request = RescoreRequest(tuned=run.id, scoring=SCORING)
    with runs.record(request) as writer:
        words = rescoring.rescore(writer, request)
    before, after = rescoring.scores_of(writer)
    model = ctsft.apply_delta(
        ctsft.load_model(folders["qwen2"], device="cpu"), run.file("delta.safetensors")
    )
    rows = {
        row.id: row
        for row in ctsft.load_task(request_of(run).subject.task).load("indonesian", "train")
    }
    pool = [rows[name] for name in before.examples]
    by_hand = ctsft.score_heads(
        model, task, pool, ctsft.label_balanced_means(model, task, pool), method="atp"
    )
    assert before.examples == after.examples and not torch.equal(before.values, after.values)
    assert torch.allclose(after.values, by_hand.values, atol=1e-6)
    assert words["right"] == ctsft.accuracy(model, task, pool) and -1 <= words["spearman"] <= 1
    assert results.result(writer)["changes"] == words["changes"]


def test_a_change_by_head_is_that_of_both_sides_compared(tuned, loaded, folders):
    run = tuned("near_zero")
    path = run.file("delta.safetensors")
    rows = {
        (row["layer"], row["head"]): row
        for row in delta_comparison.head_changes(loaded["qwen2"], path)
    }
    other = {
        (row["layer"], row["head"]): row
        for row in delta_comparison.compare_deltas(loaded["qwen2"], path, path)
    }
    assert len(rows) == 13 and all(row["change"] == other[at]["first"] for at, row in rows.items())
    moved = ctsft.Circuit.load(run.file("circuit.json")).heads
    touched = ctsft.heads_sharing_kv(loaded["qwen2"], moved)
    for at, row in rows.items():
        assert (row["change"] > 0) == (at in moved | touched or at[0] is None) and row["of"] >= row[
            "change"
        ] >= 0
    head = min(moved)
    block, size = loaded["qwen2"].blocks[head[0]], loaded["qwen2"].d_head
    output_norm = block.o.weight[:, head[1] * size : (head[1] + 1) * size].norm().item()
    assert rows[head]["of"] > output_norm, "the numbers before include the output columns"


def scores(values) -> Scores:
    return Scores(
        torch.tensor(values).expand(2, 2, 2).clone(),
        ["a", "b"],
        ["x", "y"],
        "cdt",
        ScoreConfig(),
        {},
    )


def test_agreement_by_hand():
    before, after = scores([[4.0, 3.0], [2.0, 1.0]]), scores([[4.0, 1.0], [2.0, 3.0]])
    agreement = rescoring.agreement(before, after, 2)
    assert agreement == {
        "spearman": pytest.approx(0.2),
        "k": 2,
        "stayed": [[0, 0]],
        "left": [[0, 1]],
        "came": [[1, 1]],
    }
    assert math.isnan(rescoring.agreement(before, scores([[1.0, 1.0], [1.0, 1.0]]), 1)["spearman"])
    said(lambda: rescoring.agreement(before, after, 5), "4 heads", "1 to 4")


def test_from_the_shell_and_refused_in_a_sentence(tuned, capsys):
    run = tuned()
    assert main(["rescore", run.id, "--size", "6", "--method", "atp", "--k", "2"]) == 0
    assert "of the 2 top heads stayed" in capsys.readouterr().out
    with runs.record(runs.Request(kind="score")) as other:
        pass
    assert (
        main(["rescore", other.id]) == 2
        and "has no tuned model to score" in capsys.readouterr().err
    )
    assert (
        main(["rescore", run.id, "--size", "6", "--method", "atp", "--k", "99"]) == 2
        and "choose 1 to 12" in capsys.readouterr().err
    )


def test_an_export_that_a_page_started_keeps_a_run_folder(tuned, tmp_path, capsys):
    run = tuned()
    request = ExportRequest(tuned=run.id, to=str(tmp_path / "out"))
    execute(request)
    export_run = runs.list_runs("export")[0]
    assert export_run.status().state == "done" and request_of(export_run).tuned == run.id
    assert (tmp_path / "out" / "README.md").is_file()
    assert json.loads((tmp_path / "out" / "config.json").read_text())
    said(lambda: execute(request), "not an empty folder")
    assert runs.list_runs("export")[0].status().state == "failed"
