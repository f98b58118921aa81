"""Adaptive scoring: the same top heads as the full pass, fewer examples, and an honest word about
both.
"""

import pytest
import torch

from ctsft import discover, label_balanced_means, score_heads, select
from ctsft.attribution.adaptive import (
    TopHeadsSearch,
    cover,
    find_top_heads,
    interleave_labels,
    separation,
    standard_errors,
)
from support.tasks import agreed

LABELS = [label for label in "abc" for _ in range(20)]


def run(truth: torch.Tensor, k: int, work=(3, 2, 1), skip=()):
    """Search on made-up scores; returns the scores that were measured and the sentence."""
    measured = torch.zeros_like(truth, dtype=torch.bool)

    def measure(rows, heads):
        asked = torch.zeros_like(measured)
        asked[rows] = heads
        # nothing is paid for twice
        assert not (measured & asked).any()
        measured[asked] = True
        return torch.where(asked, truth, torch.nan)

    return find_top_heads(TopHeadsSearch(LABELS, (3, 8), k, work, skip), measure)


def noisy(spread: float, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(3, 8, generator=draw) + spread * torch.randn(60, 3, 8, generator=draw)


@pytest.mark.parametrize("spread", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("k", [1, 5])
def test_the_best_are_the_full_passs(spread, k):
    for seed in range(20):
        truth = noisy(spread, seed)
        out, _ = run(truth, k)
        mine, full = (
            out.double().nanmean(0).flatten().topk(k).indices,
            truth.double().mean(0).flatten().topk(k).indices,
        )
        assert set(mine.tolist()) == set(full.tolist())


def test_clear_cases_are_cheap_and_close_ones_are_not():
    clear, close = ((~run(noisy(spread), 3)[0].isnan()).sum().item() for spread in (0.05, 2.0))
    assert clear < 0.25 * 60 * 24 < close


def test_scores_that_are_no_numbers_do_not_keep_it_going():
    truth = noisy(0.5)
    truth[::2, 1, 3] = float("nan")
    truth[:, 2, 4] = float("nan")
    out, said = run(truth, 3)
    assert (out.isfinite().sum(0) >= 3).sum() >= 22 and "Adaptive" in said


def test_a_head_that_looked_decided_is_taken_up_again():
    """Among heads that score nearly alike one is out after a few examples and in after all (seed 39
    of these).
    """
    for seed in range(30, 50):
        draw = torch.Generator().manual_seed(seed)
        truth = (
            2
            + 0.3 * torch.randn(3, 8, generator=draw)
            + 0.3 * torch.randn(60, 3, 8, generator=draw)
        )
        out, _ = run(truth, 3)
        mine, full = (
            out.double().nanmean(0).flatten().topk(3).indices,
            truth.double().mean(0).flatten().topk(3).indices,
        )
        assert set(mine.tolist()) == set(full.tolist())


def test_ties_end_with_all_examples():
    truth = torch.zeros(60, 3, 8) + torch.randn(60, 1, 1)
    out, said = run(truth, 4)
    assert not out.isnan().any() and "60 to 60 of 60 examples" in said and "100%" in said


def test_kept_heads_and_later_layers_are_left_out():
    out, said = run(noisy(0.05), 2, work=(2, 1), skip=[(0, 3)])
    assert (
        out[:, 2].isnan().all()
        and out[:, 0, 3].isnan().all()
        and out[:, 0, 2].isfinite().any()
        and "best 2" in said
    )


def test_standard_errors_shrink_to_nothing_when_the_pool_is_used_up():
    truth = noisy(1.0)
    some = truth.clone()
    some[30:] = float("nan")
    half, whole = standard_errors(some.double(), 60)[1], standard_errors(truth.double(), 60)[1]
    assert (
        torch.allclose(half, truth[:30].double().std(0) * (0.5 / 30) ** 0.5)
        and whole.abs().max() == 0
    )
    assert separation(truth, torch.ones(3, 8, dtype=torch.bool), 3)[0].isinf().all()


def test_a_few_examples_that_agree_are_not_taken_for_certain():
    values = torch.full((60, 3), float("nan"), dtype=torch.double)
    values[:4] = torch.tensor([1.0, 1.1, 1.2])
    assert (
        standard_errors(values, 60)[1].max() < 1e-9
        and (standard_errors(values, 60, values.nanmean(0), 0.5)[1] > 0.2).all()
    )


def test_heads_are_compared_on_the_examples_they_share():
    """What all heads have in common on a text, hard or easy, cancels in their differences."""
    common = 5 * torch.randn(60, 1, 1, generator=torch.Generator().manual_seed(1))
    truth = (
        torch.arange(24.0).view(1, 3, 8)
        + common
        + 0.1 * torch.randn(60, 3, 8, generator=torch.Generator().manual_seed(2))
    )
    shared, (alone, _) = (
        run(truth, 3)[0],
        run(truth + 5 * torch.randn(60, 3, 8, generator=torch.Generator().manual_seed(3)), 3),
    )
    assert (~shared.isnan()).sum() < 0.3 * (~alone.isnan()).sum()
    assert set(shared.nanmean(0).flatten().topk(3).indices.tolist()) == {21, 22, 23}


def test_a_few_uncertain_heads_do_not_make_all_others_go_on():
    """One head that leads by its spread alone is doubted by every other one: it goes on by
    itself.
    """
    truth = 0.01 * torch.randn(60, 3, 8, generator=torch.Generator().manual_seed(0))
    truth[:, 2, 6] += 3
    truth[:, 2, 5] += 2 + 4 * torch.randn(60, generator=torch.Generator().manual_seed(1))
    counts = (~run(truth, 2, work=(9, 9, 1))[0].isnan()).sum(0)
    assert counts[2, 5] > 3 and counts.flatten().sort().values[:20].max() == 3


def test_every_doubt_is_covered_and_dear_heads_are_avoided():
    inside = torch.tensor([True, False, True, False, False])
    # heads 0 and 2 against 1, 3 and 4
    doubts = torch.tensor([[True, True, True], [False, False, True]])
    assert cover(doubts, inside, torch.tensor([1.0, 1, 1, 1, 1])).nonzero().flatten().tolist() in (
        [0, 2],
        [0, 4],
    )
    assert cover(doubts, inside, torch.tensor([9.0, 1, 9, 1, 1])).nonzero().flatten().tolist() == [
        1,
        3,
        4,
    ]
    # nobody is left to settle 0 against 3 and 4
    never = torch.tensor([torch.inf, 1, torch.inf, torch.inf, torch.inf])
    assert cover(doubts, inside, never).nonzero().flatten().tolist() == [1]


def test_labels_take_turns():
    assert [LABELS[row] for row in interleave_labels(LABELS)[:6]] == list("abcabc") and sorted(
        interleave_labels(LABELS)
    ) == list(range(60))
    assert interleave_labels(["a", "a", "b"]) == [0, 2, 1]


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_on_a_model(loaded, task, family):
    model = loaded[family]
    pool = agreed(model, task, 8)
    means = label_balanced_means(model, task, pool)
    full, fast = (
        score_heads(model, task, pool, means, adaptive=adaptive, k=2) for adaptive in (False, True)
    )
    assert select(fast, "top", k=2).heads == select(full, "top", k=2).heads
    assert fast.notes and "confidence" in fast.notes[0] and not full.notes
    done = ~fast.per_example.isnan()
    assert torch.allclose(fast.per_example[done], full.per_example[done], atol=1e-5)
    assert fast.counts.min() >= 3 and fast.counts.max() <= len(pool)


def test_discovery_may_be_adaptive(loaded, task):
    model = loaded["llama"]
    pool = agreed(model, task, 6)
    means = label_balanced_means(model, task, pool)
    full, fast = (
        discover(model, task, pool, means, depth=1, fraction=0.2, adaptive=adaptive)
        for adaptive in (False, True)
    )
    assert fast.heads == full.heads and len(full) >= 2


def test_only_cdt_is_adaptive(loaded, task):
    pool = agreed(loaded["gpt2"], task, 2)
    means = label_balanced_means(loaded["gpt2"], task, pool)
    with pytest.raises(ValueError, match="adaptive.* 'cdt' only"):
        score_heads(loaded["gpt2"], task, pool, means, "atp", adaptive=True)
