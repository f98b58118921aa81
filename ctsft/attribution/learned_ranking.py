"""A nested ranking of heads learned on a pool: sigmoid top-k gates under random budgets.

After Matryoshka Attribution (arXiv 2609.25518), on natural text: a closed gate gives the head's
label-balanced mean where the paper has the head's value on a counterfactual text. Each head has one
number. For a budget of k heads its gate is sigmoid((number - cut) / temperature), with the cut at
which the gates add up to k. Every step draws budgets and texts, measures the faithfulness f of the
gated model on them (by margin, against the same texts with all gates open and closed), and follows
the gradient of a loss of f (`LOSSES`). One ranking serves all budgets, so the circuits are nested.

In the forward pass the first k heads are wholly open and the others wholly closed, as in the
circuits that are measured; the gradient is that of the sigmoids (a straight-through estimate).
Numbers begin with the ranks of integrated gradients in nine passes. What the learning may cost is
counted in forward passes over the pool, a backward pass as two, and integrated gradients included.
"""

import math
from dataclasses import replace

import torch

from ctsft.attribution.gated_pool import BACKWARD, GatedPool, TextDraw
from ctsft.attribution.means import Progress
from ctsft.attribution.scoring_pass import ScoringPass, run_pass
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

START = "ig"  # the method whose ranking the learning begins with
START_STEPS = 9
# forward passes before the first step: the start, all gates open, and all closed
START_COST = BACKWARD * START_STEPS + 2
BUDGETS = 2  # of a step
TEXTS = 5  # of each budget
RATE = 0.1
MOMENTS = (0.9, 0.99)  # of Adam
TEMPERATURES = (0.5, 0.1)  # at the first and the last step; the first numbers are from -1 to 1
SURPLUS = 0.15  # weight of faithfulness above 1 in "match"
BISECTIONS = 40
# loss of faithfulness f [budget]
LOSSES = {
    # the circuit does what the model does: |1 - f|, less strict above 1
    "match": lambda f: (1 - f).relu() + SURPLUS * (f - 1).relu(),
    # the circuit does as much of the task as it can
    "strength": lambda f: -f,
}


def soft_top_k(
    numbers: torch.Tensor, budgets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gates sigmoid((number - cut) / temperature) that add up to each budget, [budget, head], and
    the cuts [budget]; the gradient goes through the cuts too. numbers: [head].
    """
    reach = 20 * temperature
    low = torch.full_like(budgets, float(numbers.detach().min()) - reach)
    high = torch.full_like(budgets, float(numbers.detach().max()) + reach)
    with torch.no_grad():
        for _ in range(BISECTIONS):
            cut = (low + high) / 2
            too_many = ((numbers - cut[:, None]) / temperature).sigmoid().sum(1) > budgets
            low, high = torch.where(too_many, cut, low), torch.where(too_many, high, cut)
        gates = ((numbers - cut[:, None]) / temperature).sigmoid()
        slope = gates * (1 - gates)
        share = slope / slope.sum(1, keepdim=True).clamp(min=1e-12)
    # the cut of the same value whose gradient holds the sum of the gates constant
    cut = cut + (share * (numbers - numbers.detach())).sum(1)
    return ((numbers - cut[:, None]) / temperature).sigmoid(), cut


def first_heads(numbers: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """1 for the first heads of a ranking and 0 for the others, [size, head]."""
    order = numbers.detach().argsort(descending=True, stable=True)
    gates = torch.zeros(len(sizes), len(numbers))
    for row, size in zip(gates, sizes, strict=True):
        row[order[:size]] = 1.0
    return gates


def start_numbers(scores: torch.Tensor) -> torch.Tensor:
    """Ranks of scores [layer, head] as numbers from 1 (the first) to -1, [head]."""
    values = scores.flatten()
    order = values.argsort(descending=True, stable=True)
    numbers = torch.empty(len(values))
    numbers[order] = torch.linspace(1, -1, len(values))
    return numbers


def learn_ranking(
    scoring: ScoringPass, progress: Progress | None = None
) -> tuple[torch.Tensor, list[str]]:
    """Scores [example, layer, head], the same for every example, and notes. A score is the head's
    mean gate over all budgets: the share of circuit sizes that it belongs to, 0 to 1.

    Raises UserError where the model's heads do nothing for the task on these texts, or where
    `passes` is too little for a step.
    """
    settings, n_heads = scoring.settings, scoring.model.n_layers * scoring.model.n_heads
    texts = min(TEXTS, len(scoring.pool))
    step_cost = BACKWARD * BUDGETS * texts / len(scoring.pool)
    steps = int((settings.passes - START_COST) / step_cost + 1e-9)
    if steps < 1:
        raise UserError(
            f"passes is {settings.passes}; a learned ranking of {len(scoring.pool)} texts needs at"
            f" least {math.ceil(START_COST + step_cost)} forward passes."
        )
    first = replace(scoring, method=START, settings=replace(settings, steps=START_STEPS))
    start, notes = run_pass(first)
    gated = GatedPool(scoring, spent=BACKWARD * START_STEPS)
    if not gated.span > 0:
        raise UserError(
            "With every head at its mean the model does the task as well as with its heads on"
            " these texts, so no ranking can be learned; use another method or other texts."
        )
    numbers = start_numbers(start.double().nanmean(0).float()).requires_grad_()
    optimizer = torch.optim.Adam([numbers], lr=RATE, betas=MOMENTS)
    draw = TextDraw(len(scoring.pool))
    for step in range(steps):
        temperature = temperature_at(step / max(1, steps - 1))
        optimizer.zero_grad()
        learning_step(gated, numbers, draw, temperature)
        optimizer.step()
        if progress:
            progress(gated.spent, float(settings.passes))
    learned = mean_gates(numbers.detach(), TEMPERATURES[1]).reshape(scoring.shape[1:])
    learned = distributed.broadcast(learned, scoring.model.device)  # on GPUs sums differ a little
    notes = [
        *notes,
        f"learned in {steps} steps on {len(scoring.pool)} texts, {gated.spent:.0f} forward passes"
        " over them (a backward pass counts as two); one ranking for the whole pool, the same on"
        f" every text ({n_heads} heads, objective {settings.objective})",
    ]
    return learned.expand(scoring.shape).clone(), notes


def temperature_at(share: float) -> float:
    """At a share of the steps, 0 to 1: geometric between `TEMPERATURES`."""
    first, last = TEMPERATURES
    return first * (last / first) ** share


def learning_step(
    gated: GatedPool, numbers: torch.Tensor, draw: TextDraw, temperature: float
) -> None:
    """Adds to the gradient of `numbers` that of the loss on a draw of budgets and texts. Budgets
    are uniform in their logarithm, evenly spaced from a random first one.
    """
    n_heads, shape = len(numbers), gated.scoring.shape[1:]
    first, n_texts = draw.uniform(), min(TEXTS, len(gated.encoded))
    budgets = [
        min(max(n_heads ** ((first + i / BUDGETS) % 1), 0.5), n_heads - 0.5) for i in range(BUDGETS)
    ]
    rows = [row for _ in budgets for row in draw.texts(n_texts)]
    soft, _ = soft_top_k(numbers, torch.tensor(budgets), temperature)
    hard = first_heads(numbers, [max(1, round(budget)) for budget in budgets])
    gates = (soft + (hard - soft).detach()).reshape(BUDGETS, 1, *shape)
    gates = gates.expand(-1, n_texts, -1, -1).flatten(0, 1)  # [row, layer, head]
    margins, slopes = gated.margins(rows, gates.detach())
    # of each budget: [budget]
    empty = gated.empty[rows].reshape(BUDGETS, -1).mean(1)
    full = gated.full[rows].reshape(BUDGETS, -1).mean(1)
    # a draw of texts with almost nothing to explain does not outweigh the others
    span = (full - empty).clamp(min=0.5 * gated.span)
    margins.requires_grad_()
    faithful = (margins.reshape(BUDGETS, -1).mean(1) - empty) / span
    loss = LOSSES[gated.scoring.settings.objective](faithful).mean()
    (by_margin,) = torch.autograd.grad(loss, margins)
    gates.backward(by_margin[:, None, None] * slopes)


def mean_gates(numbers: torch.Tensor, temperature: float) -> torch.Tensor:
    """The mean gate of each head over the budgets 1 to all heads, [head], 0 to 1; it falls strictly
    with the rank.
    """
    n = len(numbers)
    gates, _ = soft_top_k(numbers.double(), torch.arange(1, n).double(), temperature)
    return ((gates.sum(0) + 1) / n).float()
