"""The certified top heads of mean ablation: known effects are found, near ties are resolved or
named, a misleading estimate is caught, and what is certified is right.
"""

from dataclasses import replace

import pytest
import torch

import ctsft
from ctsft.attribution import certified
from ctsft.attribution.certified import CONFIDENCE, budget_of, certify
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.scores import Scores
from support.errors import said
from support.tasks import agreed

N, LAYERS, HEADS = 20, 10, 9


class Planted:
    """Effects of every head on every example, an estimate of them, and what was ablated."""

    def __init__(self, seed: int = 0, error: float = 0.1, k: int = 5):
        draw = torch.Generator().manual_seed(seed)
        mean = torch.randn(LAYERS * HEADS, generator=draw).abs() * 0.02
        mean[:k] = torch.arange(k, 0, -1) * 0.4  # the best k, in the first heads
        spread = torch.randn(N, LAYERS * HEADS, generator=draw) * 0.3
        self.effects = (mean * (1 + spread)).reshape(N, LAYERS, HEADS)
        noise = torch.randn(self.effects.shape, generator=draw) * error
        self.estimate = self.effects * (1 + noise)
        self.ablated = torch.zeros(N, LAYERS, HEADS, dtype=torch.bool)

    def measure(self, rows: list[int], heads: torch.Tensor) -> torch.Tensor:
        assert not (self.ablated[rows] & heads).any(), "measured twice"
        self.ablated[rows] |= heads
        measured = torch.full(self.effects.shape, float("nan"))
        measured[rows] = torch.where(heads, self.effects[rows], torch.nan)
        return measured

    def certify(self, k: int = 5, seed: int = 0):
        return certify(self.estimate, k, self.measure, seed)

    def top(self, values: torch.Tensor, k: int = 5) -> set:
        return set(values.double().mean(0).flatten().argsort(descending=True)[:k].tolist())


def test_known_heads_are_found_at_a_fraction_of_the_cost():
    planted = Planted()
    values, certificate = planted.certify()
    assert planted.top(values) == {0, 1, 2, 3, 4} and certificate.certified
    assert certificate.confidence >= CONFIDENCE and certificate.doubtful == ()
    # each head at least once; a look at a text costs one pass of it in addition
    assert planted.ablated.any(0).all() and certificate.passes < 50 < certificate.full == 91
    cells = planted.ablated.sum().item() / N
    assert cells < certificate.passes - certified.ESTIMATE_PASSES < cells + certified.LOOKS
    sentence = certificate.sentence()
    assert sentence.startswith("Certified: the best 5 heads") and "at least 95%" in sentence


@pytest.mark.parametrize("hopeless", [certified.HOPELESS, 1e-9])
def test_the_result_is_the_measured_mean_where_a_head_was_ablated_everywhere(monkeypatch, hopeless):
    """What is certified are the heads of the values that are returned, whichever way led there."""
    monkeypatch.setattr(certified, "HOPELESS", hopeless)
    planted = Planted()
    planted.effects.flatten(1)[:, 5] = planted.effects.flatten(1)[:, 4] * 0.999
    values, certificate = planted.certify()
    assert certificate.certified
    full = planted.ablated.all(0)
    assert full.any() and torch.equal(values[:, full], planted.effects[:, full])
    once = planted.ablated.sum(0) == 1
    corrected = values.double().mean(0)[once]
    difference = torch.where(planted.ablated, planted.effects - planted.estimate, torch.nan)
    expected = planted.estimate.double().mean(0) + difference.double().nanmean(0)
    assert corrected.tolist() == pytest.approx(expected[once].tolist(), abs=1e-6)


def test_nothing_is_certified_where_an_effect_is_no_number():
    planted = Planted()
    assert planted.certify()[1].certified, "control"
    planted = Planted()
    planted.effects[:, 1, 2] = float("inf")
    values, certificate = planted.certify()
    assert values.isfinite().all() and not certificate.certified and certificate.confidence == 0
    assert (
        certificate.doubtful == ((1, 2),) and "L1.H2 are NaN or infinite" in certificate.sentence()
    )


def test_nor_where_every_head_of_a_small_model_is_ablated():
    effects = torch.ones(4, 2, 3)
    assert certify(effects, 1, lambda rows, heads: effects)[1].certified, "control"
    effects[0, 1, 1] = float("nan")
    certificate = certify(effects, 1, lambda rows, heads: effects)[1]
    assert not certificate.certified and certificate.doubtful == ((1, 1),)


def test_a_near_tie_is_resolved_by_ablating_both_heads_on_every_example():
    planted = Planted()
    planted.effects.flatten(1)[:, 5] = planted.effects.flatten(1)[:, 4] * 0.999
    planted.estimate.flatten(1)[:, 5] = planted.estimate.flatten(1)[:, 4] * 1.01
    values, certificate = planted.certify()
    assert planted.top(planted.estimate) == {0, 1, 2, 3, 5}, "the estimate has them the wrong way"
    assert certificate.certified and planted.top(values) == {0, 1, 2, 3, 4}
    assert planted.ablated.flatten(1)[:, 4:6].all()


def test_where_the_budget_decides_little_the_best_heads_are_ablated_wholly(monkeypatch):
    """Estimates that are off by as much as the effects: the heads found are nearer to those of full
    ablation than the estimate's, and than with the race alone.
    """
    common = {}
    for name, hopeless in (("whole heads", certified.HOPELESS), ("race alone", float("inf"))):
        monkeypatch.setattr(certified, "HOPELESS", hopeless)
        planted = [Planted(seed, error=6.0, k=12) for seed in range(8)]
        results = [one.certify(12, seed) for seed, one in enumerate(planted)]
        assert not any(certificate.certified for _, certificate in results)
        assert all(certificate.passes <= budget_of(LAYERS * HEADS) for _, certificate in results)
        common[name] = [
            len(one.top(values, 12) & one.top(one.effects, 12))
            for one, (values, _) in zip(planted, results, strict=True)
        ]
    estimated = [len(one.top(one.estimate, 12) & one.top(one.effects, 12)) for one in planted]
    assert sum(common["whole heads"]) > max(sum(common["race alone"]), sum(estimated)), common


def test_what_the_budget_does_not_decide_is_not_certified_and_named(monkeypatch):
    monkeypatch.setattr(certified, "budget_of", lambda n_heads: certified.ESTIMATE_PASSES + 7.0)
    planted = Planted()
    planted.effects.flatten(1)[:, 5] = planted.effects.flatten(1)[:, 4] * 0.999
    planted.estimate.flatten(1)[:, 5] = planted.estimate.flatten(1)[:, 4] * 1.01
    _, certificate = planted.certify()
    assert not certificate.certified and certificate.confidence < CONFIDENCE
    assert {(0, 4), (0, 5)} <= set(certificate.doubtful)
    sentence = certificate.sentence()
    assert (
        sentence.startswith("Not certified: ") and "too close" in sentence and "L0.H5" in sentence
    )


def test_a_head_that_the_estimate_misses_is_found():
    planted = Planted()
    planted.effects[:, 7, 3] = 3.0
    planted.estimate[:, 7, 3] = 0.01
    values, certificate = planted.certify()
    assert 7 * HEADS + 3 in planted.top(values) and certificate.certified


@pytest.mark.parametrize("error", [0.2, 0.8])
def test_what_is_certified_is_wrong_no_more_often_than_stated(error):
    outcomes = []
    for seed in range(20):
        planted = Planted(seed, error, k=3)
        values, certificate = planted.certify(6, seed)  # the fourth to sixth are nearly equal
        right = planted.top(values, 6) == planted.top(planted.effects, 6)
        outcomes.append((certificate.certified, right))
        assert certificate.passes <= budget_of(LAYERS * HEADS)
    wrong = sum(1 for is_certified, right in outcomes if is_certified and not right)
    assert wrong <= 1
    assert error > 0.5 or any(is_certified for is_certified, _ in outcomes)
    # control: the estimate alone is wrong more often
    alone = [Planted(seed, error, k=3) for seed in range(20)]
    assert sum(one.top(one.estimate, 6) != one.top(one.effects, 6) for one in alone) > 5


def test_a_small_model_is_ablated_completely(loaded, task, tmp_path):
    model, rows = loaded["qwen2"], agreed(loaded["qwen2"], task, each=3)
    means = label_balanced_means(model, task, rows)
    full = ctsft.score_heads(model, task, rows, means, "ablation")
    scores = ctsft.score_heads(model, task, rows, means, "ablation", certified=True, k=2)
    assert torch.allclose(scores.values, full.values, atol=1e-6)
    assert scores.certificate["certified"] and scores.certificate["passes"] == 13
    scores.save(tmp_path / "scores.safetensors")
    again = Scores.load(tmp_path / "scores.safetensors")
    assert again.certificate["confidence"] == 1.0 and again.config.certified
    assert "Certified: the best 2 heads" in again.notes[0]


def test_the_race_of_a_model_with_more_heads_agrees_with_its_full_pass(build, task, monkeypatch):
    monkeypatch.setattr(certified, "ESTIMATE_PASSES", 3.0)
    model = build("qwen2")
    rows = agreed(model, task, each=4)
    means = label_balanced_means(model, task, rows)
    full = ctsft.score_heads(model, task, rows, means, "ablation")
    seen = []
    scores = ctsft.score_heads(
        model,
        task,
        rows,
        means,
        "ablation",
        lambda done, total: seen.append(done / total),
        certified=True,
        k=2,
    )
    assert scores.certificate["certified"] and seen[-1] == 1
    assert ctsft.select(scores, "top", k=2).heads == ctsft.select(full, "top", k=2).heads


def test_only_ablation_is_certified(loaded, task):
    model, rows = loaded["qwen2"], agreed(loaded["qwen2"], task, each=2)
    means = label_balanced_means(model, task, rows)
    said(
        lambda: ctsft.score_heads(model, task, rows, means, "cdt", certified=True),
        "'ablation'",
        "'cdt'",
    )
    assert replace(ctsft.ScoreConfig(), certified=True).certified
