"""Scores by hand, and scoring methods that run another function."""

from dataclasses import replace

import torch

from ctsft.attribution.methods import METHODS
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores


def made(values, labels=("a", "b"), **about) -> Scores:
    """Scores with the same values for every example."""
    per_example = torch.tensor(values).expand(len(labels), -1, -1).clone()
    return Scores(
        per_example, [str(i) for i in range(len(labels))], list(labels), "cdt", ScoreConfig(), about
    )


def use_method(monkeypatch, name: str, run):
    """Let the scoring method `name` run another function."""
    monkeypatch.setitem(METHODS, name, replace(METHODS[name], run=run))


# two layers of three heads, checked by eye
TABLE = made(
    [[3.0, -4.0, 0.1], [2.0, -0.1, 3.0]], model="m", model_type="llama", n_layers=2, n_heads=3
)
