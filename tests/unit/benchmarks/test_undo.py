"""What the undo benchmark says of accuracies, by hand."""

import pytest

from benchmarks.undo import Outcome, change_line, mean_line


@pytest.mark.parametrize(
    ("source", "target", "share", "met"),
    [
        ((0.8, 0.7, 0.781), (0.5, 0.6, 0.581), 0.25, True),  # more than 80 % for less than 20 %
        ((0.8, 0.7, 0.779), (0.5, 0.6, 0.581), 0.25, False),
        ((0.8, 0.7, 0.781), (0.5, 0.6, 0.579), 0.25, False),
        ((0.8, 0.7, 0.781), (0.5, 0.6, 0.581), 0.26, False),
        ((0.8, 0.8, 0.9), (0.5, 0.6, 0.7), 0.1, False),  # nothing was lost
        ((0.8, 0.7, 0.8), (0.5, 0.4, 0.4), 0.1, True),  # nothing was gained, and nothing is paid
        ((0.8, 0.7, 0.8), (0.5, 0.4, 0.39), 0.1, False),
    ],
)
def test_the_goal(source, target, share, met):
    assert Outcome(source, target, 6, share).meets_goal is met


def test_means_are_of_the_accuracies_and_shares_of_the_means():
    first = Outcome((0.8, 0.7, 0.75), (0.5, 0.6, 0.6), 6, 0.02)
    second = Outcome((0.8, 0.6, 0.75), (0.5, 0.8, 0.7), 12, 0.04)
    assert mean_line([first, second]) == (
        "| 0.800, 0.650, 0.750 | 0.500, 0.700, 0.650 | 9 (3.0% of what was trained)"
        " | regained 66.7% of the loss, paid 25.0% of the gain | not met |"
    )


def test_the_change_is_over_languages_each_the_mean_of_its_seeds():
    def language(*regained: float) -> list[Outcome]:
        return [Outcome((0.8, 0.7, 0.7 + one), (0.5, 0.6, 0.6), 6, 0.02) for one in regained]

    two = change_line([language(0.1, 0.2), language(0.05)])
    assert two.endswith("source +0.100, target +0.000")
    three = change_line([language(0.1, 0.2), language(0.05), language(0.1)])
    assert three.endswith("source +0.100 [-0.024, 0.224], target +0.000 [0.000, 0.000]")
