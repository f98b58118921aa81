"""The role of each head, from gates learned twice on a pool: facilitating, interfering, irrelevant.

After Causal Head Gating (Nam et al. 2025, arXiv 2505.13737). Every head has a gate from 0 (its
label-balanced mean; in the paper: zero) to 1 (its own output). All gates are learned together, once
with a penalty that draws them open and once with one that draws them closed:

    facilitating  open although the penalty closes it: the task needs the head
    interfering   closed although the penalty opens it: the task is better off without the head
    irrelevant    follows the penalty

The loss is the faithfulness by margin that is lost, so the penalty has a scale of its own: a head
follows it where its effect on faithfulness is below `penalty` of an equal share of the task (1 /
number of heads). The paper's loss is the negative log likelihood.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from ctsft.attribution.gated_pool import GatedPool, TextDraw
from ctsft.attribution.head_roles import HeadRoles, RoleGates
from ctsft.attribution.means import Means, Progress
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scoring_pass import ScoringPass
from ctsft.data.task import Example, Task
from ctsft.model.loading import as_model
from ctsft.utils.errors import UserError

PENALTY = 0.5  # of an equal share of the task
STEPS = 60  # of each of the two fits
TEXTS = 10  # of a step
RATE = 0.3
MOMENTS = (0.9, 0.99)  # of Adam
# what a penalty does to all gates, as the sign of its gradient: a fit each
FITS = {"opening": -1.0, "closing": 1.0}


def learn_roles(
    model,
    task: Task,
    pool: Sequence[Example],
    means: Means,
    progress: Progress | None = None,
    **config,
) -> HeadRoles:
    """The role of every head on `pool`. `config`: `penalty` (of an equal share of the task), and
    the fields of `ScoreConfig` for positions and memory.

    Both fits together cost `2 * STEPS` steps of `TEXTS` texts, 72 forward passes over a pool of 50
    (a backward pass as two). Raises UserError for an empty pool, means of another model's shape, a
    penalty that is not positive, or a model whose heads do nothing for the task.
    """
    model, penalty = as_model(model), config.pop("penalty", PENALTY)
    if not pool:
        raise UserError("There are no examples to learn roles on; give at least one.")
    if not 0 < penalty < float("inf"):
        raise UserError(f"penalty is {penalty}; choose a positive number, such as {PENALTY}.")
    means.check(model)
    settings = ScoreConfig(**config)
    settings = replace(settings, positions=settings.positions or means.positions)
    scoring = ScoringPass(model, task, pool, means, "learned", settings)
    gated = GatedPool(scoring)
    if not gated.span > 0:
        raise UserError(
            "With every head at its mean the model does the task as well as with its heads on"
            " these texts, so heads have no roles; use other texts."
        )
    fits = {}
    for number, (name, sign) in enumerate(FITS.items()):
        done = number * STEPS
        fits[name] = fit(gated, sign * penalty, tell(progress, done))
    about = {"model": model.name, "task": task.name, "passes": round(gated.spent)}
    gates = RoleGates(fits["opening"], fits["closing"])
    return HeadRoles(gates, [row.id for row in pool], float(penalty), about)


def tell(progress: Progress | None, done: int):
    return lambda step: progress(float(done + step), 2.0 * STEPS) if progress else None


def fit(gated: GatedPool, penalty: float, progress) -> torch.Tensor:
    """Gates [layer, head], 0 to 1, that lose little faithfulness; `penalty` > 0 draws them closed,
    < 0 open. They begin half open.
    """
    shape = gated.scoring.shape[1:]
    logits = torch.zeros(shape, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=RATE, betas=MOMENTS)
    draw = TextDraw(len(gated.encoded))
    for step in range(STEPS):
        optimizer.zero_grad()
        rows = draw.texts(TEXTS)
        gates = logits.sigmoid()
        _, slopes = gated.margins(rows, gates.detach().expand(len(rows), *shape))
        # of the loss 1 - f + penalty * mean gate
        gates.backward(-slopes.mean(0) / gated.span + penalty / gates.numel())
        optimizer.step()
        progress(step + 1)
    return logits.detach().sigmoid()
