"""The tiny Qwen2 asked for scores through the cache."""

import pytest

from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.score_heads import score_heads
from support.stored_answers import POOL


@pytest.fixture(scope="session")
def means(loaded, task) -> Means:
    return label_balanced_means(loaded["qwen2"], task, POOL)


@pytest.fixture
def ask(loaded, task, means):
    """Scores of the tiny Qwen2 through the cache; arguments may be changed by name."""

    def call(method="atp", **changes):
        given = {
            "model": loaded["qwen2"],
            "task": task,
            "pool": POOL,
            "means": means,
            "cache": True,
        } | changes
        return score_heads(method=method, **given)

    return call
