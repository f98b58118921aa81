"""Jobs as runs, in this process: what each leaves in its folder."""

import csv
import json
from dataclasses import replace

import pytest
import torch

import ctsft
from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.data.registry import load_task
from ctsft.data.task import rows_hash
from ctsft.jobs import (
    faithfulness,
    reporter,
    requests,
    scoring,
)
from ctsft.runs import results
from support.jobs import SMALL, done


def test_a_score_run_can_be_rebuilt_from_its_folder(subject, scored, loaded, task):
    scores, preview = (
        Scores.load(scored.file(f"{name}.safetensors")) for name in ("scores", "preview")
    )
    means, pool = (
        Means.load(scored.file("means.safetensors")),
        json.loads(scored.file("pool.json").read_text()),
    )
    rows = {row.id: row for row in load_task(subject.task).load("indonesian", "train")}
    chosen = [rows[row["id"]] for row in pool]
    assert (scores.method, preview.method, len(pool)) == ("cdt", "atp", 6) and scores.examples == [
        row.id for row in chosen
    ]
    again = ctsft.score_heads(loaded["qwen2"], task, chosen, means)
    assert (
        torch.allclose(scores.values, again.values, atol=1e-6)
        and scores.ranking() == again.ranking()
    )
    csv_rows = list(csv.DictReader(scored.file("scores.csv").open()))
    assert [(int(row["layer"]), int(row["head"])) for row in csv_rows] == scores.ranking()
    heads = results.result(scored)["heads"]
    assert [(row["layer"], row["head"]) for row in heads] == scores.ranking() and heads[0][
        "score"
    ] == scores.values.max().item()
    assert [row["kind"] for row in scored.events()] == ["preview", "scores"]


def test_the_request_holds_all_that_determines_the_result(subject, scored, loaded):
    request = requests.request_of(scored)
    facts = request.facts
    chosen = {row["id"] for row in json.loads(scored.file("pool.json").read_text())}
    pool = [row for row in load_task(subject.task).load("indonesian", "train") if row.id in chosen]
    assert (
        facts.model_fingerprint == loaded["qwen2"].fingerprint
        and facts.version == ctsft.__version__
        and facts.torch == torch.__version__
    )
    assert (
        request.subject.task == subject.task
        and request.scoring.size == 6
        and request.scoring.attention == "softmax"
    )
    assert len(facts.data_fingerprints["pool"]) == len(rows_hash(pool)) == 16


def test_discovery_keeps_the_circuit_and_each_iterations_scores(subject):
    run, summary = done(
        requests.DiscoverRequest(subject=subject, scoring=SMALL, depth=1, fraction=0.17)
    )
    circuit = Circuit.load(run.file("circuit.json"))
    assert {
        (row["layer"], row["head"]): row["why"] for row in summary["heads"]
    } == circuit.why and len(circuit) >= 2
    assert Scores.load(run.file("scores.safetensors")).config.targets == ()
    if circuit.rule["depth"]:
        assert Scores.load(run.file("scores-1.safetensors")).config.targets


def test_a_curve_is_an_event_a_point(subject, scored):
    request = requests.FaithfulnessRequest(
        subject=replace(subject, split="valid"), scores=scored.id, sizes=(0, 2, 99), n_random=2
    )
    run, summary = done(request)
    assert [(row["size"], row["kind"]) for row in summary["points"]] == [
        (0, "ranked"),
        (2, "ranked"),
        (2, "random"),
        (2, "random"),
        (12, "ranked"),
    ]
    assert (summary["points"][0]["margin"], summary["points"][-1]["margin"]) == (0, 1)
    assert [
        {key: value for key, value in row.items() if key != "time"} for row in run.events()
    ] == summary["points"]


def test_a_scoring_run_stops_where_it_is(subject, home):
    request = requests.ScoreRequest(subject=subject, scoring=SMALL)
    with pytest.raises(reporter.Stopped), runs.record(request) as run:
        run.file("stop").write_text("keep")
        scoring.score(run, request)
    assert not run.file("scores.safetensors").exists()


def test_default_sizes_span_none_to_all():
    for n in (1, 12, 336):
        sizes = faithfulness.default_sizes(n)
        assert sizes[0] == 0 and sizes[-1] == n and sizes == sorted(set(sizes))
    assert len(faithfulness.default_sizes(336)) == 12
