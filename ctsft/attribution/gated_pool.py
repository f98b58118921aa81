"""A pool's margins when every head gives mu + gate (z - mu): open at 1, its mean at 0.

The gates are interpolations between the two passes that faithfulness compares: all of them open is
the model, all closed is m(empty). Costs are counted in forward passes over the pool, a backward
pass as two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from ctsft.attribution.means import position_mask
from ctsft.attribution.scoring_pass import ScoringPass
from ctsft.model import memory_plan
from ctsft.model.attention import tapped
from ctsft.model.batching import Batch, batches
from ctsft.model.evaluation import finite_logits
from ctsft.model.forward import readout_logits

BACKWARD = 3  # forward passes that one forward and backward pass costs


@dataclass
class GatedPool:
    """The texts of a pass, and what was spent on them."""

    scoring: ScoringPass
    spent: float = field(default=0.0)  # forward passes over the pool

    @cached_property
    def encoded(self) -> list[list[int]]:
        return [
            self.scoring.task.encode(self.scoring.model, example) for example in self.scoring.pool
        ]

    @cached_property
    def tokens(self) -> int:
        """Tokens of one forward and backward pass."""
        settings = self.scoring.settings
        work = memory_plan.Workload("learned", max(map(len, self.encoded)), len(self.encoded))
        plan = memory_plan.make_plan(
            self.scoring.model, work, settings.batch_tokens, settings.max_memory
        )
        return plan.tokens

    @cached_property
    def full(self) -> torch.Tensor:
        """Margins of the whole model, in logits, [text]."""
        return self.same_for_all(1.0)

    @cached_property
    def empty(self) -> torch.Tensor:
        """Margins when every head gives its mean, in logits, [text]."""
        return self.same_for_all(0.0)

    @property
    def span(self) -> float:
        """Mean margin of the whole model above that of none of its heads, in logits."""
        return float((self.full - self.empty).mean())

    def same_for_all(self, gate: float) -> torch.Tensor:
        rows = range(len(self.encoded))
        gates = torch.full((len(rows), *self.scoring.shape[1:]), gate)
        return self.margins(rows, gates, slopes=False)[0]

    def margins(
        self, rows: Sequence[int], gates: torch.Tensor, slopes: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Margins [row] of some texts, each under its own gates [row, layer, head], and d(margin)
        / d(gates) of the same shape; float32 on the CPU. A text may come several times.
        """
        margins = torch.zeros(len(rows))
        slopes_of_gates = torch.zeros_like(gates) if slopes else None
        encoded = [self.encoded[row] for row in rows]
        for batch in batches(self.scoring.model, encoded, self.tokens, padding=0.5):
            direction = self.scoring.direction[[rows[i] for i in batch.index]]
            with torch.set_grad_enabled(slopes):
                here = gates[batch.index].detach().requires_grad_(slopes)
                margin = (self.label_logits(batch, here) * direction).sum(-1)
                if slopes:
                    slopes_of_gates[batch.index] = torch.autograd.grad(margin.sum(), here)[0]
            margins[batch.index] = margin.detach()
        self.spent += len(rows) / len(self.encoded) * (BACKWARD if slopes else 1)
        return margins, slopes_of_gates

    def label_logits(self, batch: Batch, gates: torch.Tensor) -> torch.Tensor:
        """Logits of the labels, float32 on the CPU, [batch, label]; gates: [batch, layer, head]."""
        scoring = self.scoring
        gates = gates.to(scoring.model.device, scoring.model.dtype)
        split = position_mask(batch, scoring.settings.positions)[..., None, None]
        layer_of = {block.attention: i for i, block in enumerate(scoring.model.blocks)}

        def interpolate(call, z):
            layer = layer_of[call.module]
            share = gates[:, None, layer, :, None].to(z.device)
            mixed = torch.lerp(scoring.mu[layer].to(z.device).expand_as(z), z, share.expand_as(z))
            return torch.where(split.to(z.device), mixed, z)

        with tapped(interpolate):
            logits = readout_logits(scoring.model.hf, batch)[:, scoring.label_tokens]
        return finite_logits(logits.float().cpu(), scoring.model.dtype)


class TextDraw:
    """Texts of a pool in random order, drawn again when all were drawn; the same every time."""

    def __init__(self, n: int, seed: int = 0):
        self.n, self.generator, self.waiting = n, torch.Generator().manual_seed(seed), []

    def texts(self, k: int) -> list[int]:
        """`k` numbers of texts, each once; all of them where the pool has no more."""
        if len(self.waiting) < min(k, self.n):
            self.waiting = torch.randperm(self.n, generator=self.generator).tolist()
        drawn, self.waiting = self.waiting[:k], self.waiting[k:]
        return drawn

    def uniform(self) -> float:
        """0 to 1."""
        return torch.rand(1, generator=self.generator).item()
