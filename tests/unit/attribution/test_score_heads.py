"""What `Scores` keeps and gives out; settings that are refused."""

import csv
import io

import pytest
import torch

from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.methods import METHODS
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.scores import Scores
from support.errors import said
from support.scores import made, use_method
from support.tasks import LABELS, examples

POOL = examples(5, seed=9)


def test_means_errors_and_labels_are_those_of_the_examples(loaded, task):
    model = loaded["llama"]
    scores = score_heads(model, task, POOL, label_balanced_means(model, task, POOL))
    per = scores.per_example.double()
    assert (
        per.shape == (5, 3, 4)
        and scores.examples == [row.id for row in POOL]
        and scores.labels == [row.label for row in POOL]
    )
    assert torch.allclose(scores.values.double(), sum(per) / 5) and scores.about["n_kv_heads"] == 2
    error = (((per - per.mean(0)) ** 2).sum(0) / 4 / 5) ** 0.5
    assert torch.allclose(scores.stderr.double(), error) and error.min() > 0
    assert list(scores.by_label) == ["negative", "neutral", "positive"]
    assert torch.allclose(scores.by_label["negative"].double(), (per[0] + per[3]) / 2)
    assert torch.allclose(scores.by_label["positive"].double(), per[2])


def test_the_ranking_falls_and_ties_go_by_layer_and_head():
    nan = float("nan")
    scores = made([[0.5, -1.0, 2.0], [0.5, nan, 2.0]])
    assert scores.ranking() == [(0, 2), (1, 2), (0, 0), (1, 0), (0, 1)]


def test_csv_has_a_line_a_head_in_rank_order(loaded, task):
    model = loaded["gpt2"]
    scores = score_heads(model, task, POOL, label_balanced_means(model, task, POOL), "atp")
    rows = list(csv.DictReader(io.StringIO(scores.csv())))
    assert (
        list(rows[0]) == ["layer", "head", "score", "stderr", "rank", *LABELS] and len(rows) == 12
    )
    assert [(int(row["layer"]), int(row["head"])) for row in rows] == scores.ranking()
    assert [row["rank"] for row in rows] == [str(i + 1) for i in range(12)]
    top = scores.ranking()[0]
    assert (
        float(rows[0]["score"]) == scores.values[top].item()
        and float(rows[0]["neutral"]) == scores.by_label["neutral"][top].item()
    )


def test_scores_survive_saving(loaded, task, tmp_path):
    model = loaded["mistral"]
    scores = score_heads(
        model,
        task,
        POOL,
        label_balanced_means(model, task, POOL),
        attention="frozen",
        targets=[(2, 1), (1, 0)],
    )
    scores.save(tmp_path / "scores.safetensors")
    again = Scores.load(tmp_path / "scores.safetensors")
    assert (
        torch.equal(again.per_example.nan_to_num(7), scores.per_example.nan_to_num(7))
        and torch.isnan(again.per_example[:, 2]).all()
    )
    assert (again.examples, again.labels, again.method, again.about) == (
        scores.examples,
        scores.labels,
        "cdt",
        scores.about,
    )
    assert (
        again.config == scores.config
        and again.config.targets == ((1, 0), (2, 1))
        and again.ranking() == scores.ranking()
    )


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("cdt", {}),
        ("cdt", {"targets": ((2, 0),)}),
        ("atp", {}),
        ("ig", {}),
        ("ablation", {}),
        ("cdt", {"batch_tokens": 1}),
    ],
)
def test_progress_rises_to_the_total(loaded, task, method, config):
    seen, model = [], loaded["gpt2"]
    score_heads(
        model,
        task,
        POOL,
        label_balanced_means(model, task, POOL),
        method,
        lambda *step: seen.append(step),
        **config,
    )
    done = [at for at, _ in seen]
    assert (
        done == sorted(set(done)) and len(done) > 1 and {total for _, total in seen} == {done[-1]}
    )


def test_a_path_serves_as_a_model(folders, loaded, task):
    means = label_balanced_means(loaded["gpt2"], task, POOL)
    by_path, by_model = (
        score_heads(model, task, POOL, means, "atp")
        for model in (str(folders["gpt2"]), loaded["gpt2"])
    )
    assert torch.equal(by_path.values, by_model.values)


@pytest.mark.parametrize(
    ("method", "config", "words"),
    [
        ("lime", {}, ("'lime'", "cdt, atp, ig, ablation")),
        ("cdt", {"atention": "frozen"}, ("'atention'", "attention")),
        ("cdt", {"attention": "linear"}, ("'linear'", "softmax, frozen")),
        ("cdt", {"score": "abs"}, ("'abs'", "signed, magnitude")),
        ("cdt", {"positions": "last"}, ("'last'", "all, readout")),
        ("cdt", {"batch_tokens": 0}, ("batch_tokens is 0",)),
        ("atp", {"targets": [(1, 0)]}, ("'cdt' only", "'atp'")),
        ("ablation", {"score": "magnitude"}, ("'cdt' only", "'ablation'")),
    ],
)
def test_wrong_settings_are_refused(loaded, task, method, config, words):
    model = loaded["gpt2"]
    means = label_balanced_means(model, task, POOL)
    said(lambda: score_heads(model, task, POOL, means, method, **config), *words)


def test_an_empty_pool_and_means_of_another_shape_are_refused(loaded, task):
    model = loaded["gpt2"]
    means = label_balanced_means(model, task, POOL)
    said(lambda: score_heads(model, task, [], means), "no examples")
    said(
        lambda: score_heads(model, task, POOL, Means(torch.zeros(2, 4, 8), {}, {})),
        "(2, 4, 8)",
        "(3, 4, 8)",
    )


def test_scores_that_ran_over_are_left_out_and_told(loaded, task, monkeypatch):
    model, run = loaded["llama"], METHODS["cdt"].run
    means = label_balanced_means(model, task, POOL)
    calm = score_heads(model, task, POOL, means)

    def overflowing(job):
        for layer, heads, part in run(job):
            if layer == 1:
                part = part.clone()
                part[0, heads.index(2)], part[-1, heads.index(3)] = float("inf"), float("nan")
            yield layer, heads, part

    use_method(monkeypatch, "cdt", overflowing)
    scores = score_heads(model, task, POOL, means, batch_tokens=10_000)
    lost = scores.per_example.isnan()
    assert (
        lost.any(0).nonzero().tolist() == [[1, 2], [1, 3]]
        and scores.values.isfinite().all()
        and not calm.notes
    )
    assert torch.equal(scores.per_example[~lost], calm.per_example[~lost])
    assert (
        f"{lost.sum()} of {lost.numel()} scores are NaN or infinite" in scores.notes[0]
        and "L1.H2, L1.H3" in scores.notes[0]
    )

    use_method(
        monkeypatch,
        "cdt",
        lambda job: ((layer, heads, part * float("nan")) for layer, heads, part in run(job)),
    )
    said(
        lambda: score_heads(model, task, POOL, means),
        "All 60 scores are NaN or infinite",
        "float64",
    )
