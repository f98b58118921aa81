"""The heads on which two scorings disagree most."""

import torch

from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from ctsft.circuit.ranking_agreement import disagreements

LAYERS, HEADS = 4, 5
ABOUT = {
    "model": "m",
    "model_type": "qwen2",
    "n_layers": LAYERS,
    "n_heads": HEADS,
    "n_kv_heads": HEADS,
    "task": "t",
}


def made(values: torch.Tensor, noise: float = 0.0) -> Scores:
    both = torch.stack([values - noise, values + noise])
    return Scores(both, ["a", "b"], ["positive", "negative"], "cdt", ScoreConfig(), ABOUT)


def ladder() -> torch.Tensor:
    """20 scores from 20 down to 1, by layer and head."""
    return torch.arange(20.0, 0, -1).reshape(LAYERS, HEADS)


def test_the_same_order_disagrees_nowhere():
    assert disagreements(made(ladder()), made(3 * ladder())) == []


def test_a_head_that_changes_its_rank_by_more_than_a_quarter_counts():
    other = ladder()
    other[0, 0] = 0.5  # from rank 1 to rank 20
    (one,) = disagreements(made(ladder()), made(other))
    assert (one.head, one.rank, one.reference_rank, one.opposite) == ((0, 0), 1, 20, False)
    small = ladder()
    small[0, 0] = 16.5  # rank 1 to 4
    assert disagreements(made(ladder()), made(small)) == []


def test_opposite_signs_count_first_and_only_where_both_are_clear():
    first, second = ladder() - 10.5, ladder() - 10.5
    second[1, 1] = -second[1, 1]  # 3.5: its rank hardly matters
    second[3, 4] = 100.0
    differing = disagreements(made(first), made(second))
    assert [one.head for one in differing] == [(3, 4), (1, 1)], "at most a tenth of 20 heads"
    assert all(one.opposite for one in differing)
    unclear = disagreements(made(first, noise=50.0), made(second))
    assert not any(one.opposite for one in unclear) and unclear[0].head == (3, 4)


def test_at_most_a_tenth_of_the_heads_is_named_the_largest_differences_first():
    differing = disagreements(made(ladder()), made(-ladder() + 30))
    assert [one.head for one in differing] == [(0, 0), (3, 4)]
    assert [abs(one.rank - one.reference_rank) for one in differing] == [19, 19]
