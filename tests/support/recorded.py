"""The recorded runs of the bundled model, as a home's and as a bundle."""

from pathlib import Path

from ctsft.runs import explorations
from ctsft.utils.assets import ASSETS

RECORDED = ASSETS / "recorded"
RUNS = RECORDED / "demo" / "runs"
FEW = ("demo-scores", "demo-circuit-31", "demo-near-zero-31", "demo-full-31", "demo-full-held-31")


def show_recorded(monkeypatch) -> Path:
    """The recorded runs are among those of this home."""
    monkeypatch.setattr(explorations, "RECORDED", RECORDED)
    return RUNS
