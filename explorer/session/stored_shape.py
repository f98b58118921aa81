"""The shape of a model from its configuration, for forms that need no weights: of the bundled model
and of recorded ones. The form of an experiment on them does not wait for torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from ctsft.runs.recorded_models import recorded_model
from ctsft.utils.assets import ASSETS
from explorer.session import inputs
from explorer.session.binding import view

BUNDLED = "demo"  # the model, and the task that it was made for
FOLDER = Path(ASSETS, "demo", "model")


def n_heads() -> int:
    """Attention heads of the view's model. Loads a model whose shape is not known otherwise, and
    ends the page with an error message if that fails.
    """
    config = stored_config(view().model)
    if config is None:
        return len(inputs.model().heads)
    return config["num_hidden_layers"] * config["num_attention_heads"]


def stored_config(model: str) -> Mapping | None:
    """None for a model that has to be opened."""
    if model == BUNDLED:
        return json.loads((FOLDER / "config.json").read_text("utf-8"))
    recorded = recorded_model(model)
    return recorded.config if recorded else None


def task_of(model: str) -> str | None:
    """The task that a model of `stored_config` was made for or recorded with; None for others."""
    recorded = recorded_model(model)
    if recorded:
        return recorded.task
    return BUNDLED if model == BUNDLED else None
