"""Validation: each number against one that can be counted by hand, and a whole run on a tiny model,
in the library and in the shell.
"""

import csv
import json
import math

import numpy as np
import pytest
import torch

from ctsft import runs
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.variants import VARIANTS
from ctsft.circuit import faithfulness as circuit_faithfulness
from ctsft.circuit.checks import Checks
from ctsft.circuit.faithfulness import RowResults, faithfulness
from ctsft.circuit.ranking_agreement import agreement, first_head_agreement, jaccard
from ctsft.circuit.selection import select
from ctsft.circuit.validation import Validation, band, validate
from ctsft.circuit.validation_report import table
from ctsft.data.task import balanced_sample
from ctsft.jobs import faithfulness as jobs_faithfulness
from ctsft.jobs.requests import ValidateRequest
from support.errors import said
from support.scores import made
from support.tasks import agreed

SMALL = Checks(methods=("cdt", "atp", "ig"), size=6, rows=6, n_random=4, pools=3, stable=("atp",))


@pytest.fixture(scope="module")
def rows(loaded, task):
    return agreed(loaded["qwen2"], task, each=12)


@pytest.fixture(scope="module")
def reports(loaded, task, rows) -> list[tuple[dict, Validation]]:
    return list(validate(loaded["qwen2"], task, rows[:24], rows[24:], SMALL))


def test_agreement_counts_the_top_heads_in_common():
    # falls from L4.H9
    truth = made([[float(layer * 10 + head) for head in range(10)] for layer in range(5)])
    assert agreement(truth, truth)["spearman"] == pytest.approx(1)
    values = truth.values.clone()
    # the first and the last change places
    values[4, 9], values[0, 0] = values[0, 0].item(), values[4, 9].item()
    other = agreement(made(values.tolist()), truth)
    assert [(row["k"], row["common"]) for row in other["overlap"]] == [(1, 0), (5, 4)]
    assert other["spearman"] == pytest.approx(1 - 6 * (2 * 49**2) / (50 * (50**2 - 1)))
    assert other["layers"] == pytest.approx([(45 + 49) / 10, 14.5, 24.5, 34.5, (445 - 49) / 10])
    assert agreement(made((-truth.values).tolist()), truth)["spearman"] == pytest.approx(-1)
    assert math.isnan(agreement(made([[1.0] * 10] * 5), truth)["spearman"])


def test_stability_is_a_mean_over_pairs():
    sets = [{1, 2, 3}, {1, 2, 3}, {3, 4, 5}]
    assert jaccard(sets) == pytest.approx((1 + 1 / 5 + 1 / 5) / 3) and jaccard([{1}, {2}]) == 0
    tops = [[(0, 1), (0, 2)], [(0, 1), (3, 3)], [(0, 2), (0, 1)], [(0, 1), (0, 2)]]
    assert first_head_agreement(tops) == pytest.approx(3 / 6)


def test_the_band_is_the_5th_to_the_95th_percentile():
    assert band([float(value) for value in range(101)]) == {"mean": 50, "low": 5, "high": 95}


def test_the_report_is_that_of_scoring_and_measuring_by_hand(loaded, task, rows, reports):
    model, report = loaded["qwen2"], reports[-1][1]
    pool = discovery_set(model, task, rows[:24], 6, 0)
    means = label_balanced_means(model, task, pool)
    scores = {
        method: score_heads(model, task, pool, means, method)
        for method in ("ablation", "cdt", "atp", "ig")
    }
    assert list(report.agreement) == ["ablation", "cdt", "atp", "ig"] and report.agreement[
        "ablation"
    ]["spearman"] == pytest.approx(1)
    for name, row in report.agreement.items():
        mine, truth = (
            scores[of].values.flatten().argsort().argsort().double() for of in (name, "ablation")
        )
        assert row["spearman"] == pytest.approx(
            torch.corrcoef(torch.stack([mine, truth]))[0, 1].item(), abs=1e-6
        )
        assert (
            row["passes"] == pytest.approx(row["seconds"] / row["forward_seconds"])
            and row["seconds"] > 0
        )
    unseen = balanced_sample(rows[24:], 6, task.labels)
    points = {(row["method"], row["size"]): row for row in report.curves}
    assert (
        set(points) == {(name, size) for name in report.agreement for size in (1, 2, 4, 6, 9, 12)}
        and report.rows == 6
    )
    sizes = np.array([1, 2, 4, 6, 9, 12])
    for name in report.agreement:
        f = np.array([points[name, size]["margin"] for size in sizes])
        # the strip below the first size rises from 0 to f
        cpr = f[0] * sizes[0] / 2 + ((f[1:] + f[:-1]) / 2 * np.diff(sizes)).sum()
        off = abs(1 - f)
        cmd = (1 + off[0]) * sizes[0] / 2 + ((off[1:] + off[:-1]) / 2 * np.diff(sizes)).sum()
        found_areas = report.areas["methods"][name]
        for area, value in (("cpr", cpr / 12), ("cmd", cmd / 12)):
            assert found_areas[area]["value"] == pytest.approx(value, rel=1e-5)
            assert found_areas[area]["low"] <= value <= found_areas[area]["high"]
    by_hand = faithfulness(model, task, select(scores["cdt"], "top", k=4), unseen, means)
    assert points["cdt", 4]["margin"] == pytest.approx(by_hand.margin, rel=1e-4)
    random = [
        faithfulness(
            model, task, select(scores["cdt"], "random", k=4, seed=seed), unseen, means
        ).margin
        for seed in range(4)
    ]
    random_row = next(row for row in report.random if row["size"] == 4)
    assert (
        random_row["margin"]["mean"] == pytest.approx(sum(random) / 4, rel=1e-4)
        and random_row["margin"]["low"] >= min(random) - 1e-6
    )
    assert points["cdt", 4]["beats"] == sum(by_hand.margin > margin for margin in random) / 4
    assert all(
        points[name, 12]["margin"] == 1 and math.isnan(points[name, 12]["beats"])
        for name in report.agreement
    )


def test_the_report_grows_and_ends_as_json(reports):
    parts = [row["part"] for row, _ in reports]
    assert list(dict.fromkeys(parts)) == ["agreement", "random", "curves", "areas", "stability"]
    assert [len(report.agreement) for _, report in reports[:4]] == [1, 2, 3, 4] and reports[0][
        1
    ].curves == []
    words = reports[-1][1].as_json()
    assert "NaN" not in json.dumps(words) and [row["beats"] for row in words["curves"]][-1] is None
    top = words["stability"]["atp"]
    assert (top["pools"], top["k"], len(top["tops"])) == (3, 1, 3) and 0 <= top["texts_jaccard"] < 1
    # of one head each
    assert top["jaccard"] == top["top1"] == first_head_agreement(top["tops"])
    for stop in range(1, len(reports) + 1):
        assert "Agreement with mean ablation: 6 texts, 12 heads" in table(
            reports[stop - 1][1].as_json()
        )


def test_each_set_of_heads_is_measured_once(loaded, task, rows, monkeypatch):
    asked = []
    monkeypatch.setattr(
        circuit_faithfulness,
        "ablated",
        lambda model, task, heads, *_: (
            asked.append(heads) or RowResults(np.full(6, 0.5), np.full(6, float(len(heads))))
        ),
    )
    *_, (_, report) = validate(
        loaded["qwen2"], task, rows[:24], rows[24:], Checks(("atp",), 6, 0, 6, 4, 0)
    )
    assert (
        len(asked) == len(set(asked))
        and {frozenset(), frozenset(loaded["qwen2"].heads)} <= set(asked)
        and report.stability == {}
    )
    assert all(
        row["margin"] == row["size"] / 12 and math.isnan(row["accuracy"]) for row in report.curves
    )
    # f(k) = k
    half = {"value": 0.5, "low": 0.5, "high": 0.5}
    assert report.areas["methods"]["atp"] == {
        name: pytest.approx(half, abs=1e-12) for name in ("cpr", "cmd")
    }
    assert report.areas["random"] == pytest.approx({"cpr": 0.5, "cmd": 0.5})


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({"methods": ("lime",)}, ("'lime'", "cdt symmetric")),
        ({"stable": ("lime",)}, ("'lime'",)),
        ({"pools": 1}, ("at least 2",)),
        ({"n_random": -1}, ("n_random is -1",)),
    ],
)
def test_wrong_settings_are_refused(checks, words):
    said(lambda: Checks(**checks), *words)


def test_no_rows_are_refused(loaded, task, rows):
    said(lambda: next(validate(loaded["qwen2"], task, rows, [])), "no rows")


OPTIONS = ["--size", 6, "--rows", 6, "--random", 2, "--pools", 2, "--methods", "atp, ig"]


def test_the_shell_prints_json_or_a_table(shell, tiny_words):
    code, out, _ = shell("validate", *tiny_words, *OPTIONS, "--json")
    words, run = json.loads(out), runs.list_runs()[0]
    assert (
        code == 0
        and list(words["agreement"]) == ["ablation", "atp", "ig"]
        and run.status().state == "done"
    )
    assert (
        words["agreement"]["ig"]["spearman"] > 0.5
        and set(words["stability"]) == {"cdt", "atp"}
        and words["stopped"] is False
    )
    assert json.loads(run.file("result.json").read_text()) | {"run": run.id} == words
    listed = list(csv.DictReader(run.file("validation.csv").read_text().splitlines()))
    assert [row["method"] for row in listed] == ["ablation", "atp", "ig"]
    assert float(listed[1]["cmd_high"]) == words["areas"]["methods"]["atp"]["cmd"]["high"]
    parts = [row["part"] for row in run.events()]
    assert (
        parts.count("agreement") == 3
        and parts.count("curves") == 18
        and parts.count("random") == 5
        and parts.count("stability") == 2
    )
    code, out, _ = shell("validate", *tiny_words, *OPTIONS)
    assert (
        code == 0
        and "Spearman" in out
        and "Stability over 2 discovery sets" in out
        and "CPR: area under faithfulness by margin" in out
        and "Faithfulness by margin on 6 unseen rows" in out
    )
    code, _, err = shell("validate", *tiny_words, "--methods", "lime")
    assert code == 2 and "'lime'" in err[-1] and list(VARIANTS)[1] in err[-1]


def test_a_stopped_validation_keeps_what_it_has(subject, home):
    request = ValidateRequest(subject=subject, checks=SMALL)
    with runs.record(request) as run:
        said_so, event = [], run.event

        def stop_after_the_second(**row):
            event(**row)
            said_so.append(row)
            if len(said_so) == 2:
                run.file("stop").write_text("keep")

        run.event = stop_after_the_second
        words = jobs_faithfulness.validate(run, request)
    assert (
        list(words["agreement"]) == ["ablation", "cdt"]
        and words["stopped"] is True
        and run.status().state == "stopped"
    )
    assert json.loads(run.file("result.json").read_text())["stopped"] is True
