"""The learning rate of each method, chosen on validation rows from those that a design lists."""

from collections.abc import Mapping

from ctsft.jobs.experiment_design import Design
from ctsft.utils.errors import UserError
from ctsft.utils.statistics import spread


def choose_rates(design: Design, measured: Mapping[str, Mapping]) -> dict[tuple[str, str], dict]:
    """{(setting, method): {"learning_rate", "tried": [{"learning_rate", "cells", "target",
    "source"}]}}: the rate with the best mean accuracy on validation rows, and all that were tried.

    measured: {key of a grid trial: {"target", "source": accuracy}}; trials that failed are absent,
    and a rate with one of them is not chosen. UserError where no rate of a method is complete.
    """
    grid = design.grid()
    choices = {}
    for setting, method in dict.fromkeys((trial.setting, trial.method) for trial in grid):
        tried = []
        for rate in design.setting(setting).learning_rates:
            keys = [
                trial.key
                for trial in grid
                if (trial.setting, trial.method, trial.learning_rate) == (setting, method, rate)
            ]
            rows = [measured[key] for key in keys if key in measured]
            if len(rows) == len(keys):
                means = {
                    side: spread(row[side] for row in rows).mean for side in ("target", "source")
                }
                tried.append({"learning_rate": rate, "cells": len(keys), **means})
        if not tried:
            raise UserError(
                f"No learning rate of {method!r} in setting {setting!r} could be tried on all its"
                " trials; see the failed trials, correct the design and start again."
            )
        best = max(tried, key=lambda row: (row["target"], row["source"], -row["learning_rate"]))
        choices[setting, method] = {"learning_rate": best["learning_rate"], "tried": tried}
    return choices
