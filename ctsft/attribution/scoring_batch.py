"""What a scoring method works on: one batch of texts, the direction of each, and the means."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ctsft.attribution.means import position_mask
from ctsft.attribution.score_config import ScoreConfig
from ctsft.model.architecture import weights_loaded
from ctsft.model.batching import Batch
from ctsft.model.forward import readout_logits
from ctsft.model.memory_plan import Plan, chunk_size
from ctsft.model.model import Model

# layer, heads, their scores [batch, head]
Part = tuple[int, list[int], torch.Tensor]


@dataclass(frozen=True)
class ScoringBatch:
    """One batch of a scoring pass. All tensors are on the model's device.

    `direction` holds the weights of the labels' logits: 1 for the gold label, -1 / (number of
    other labels) for each of the others. `heads_by_layer`: the heads to score; None: all.
    """

    model: Model
    batch: Batch
    label_tokens: list[int]
    direction: torch.Tensor  # [batch, label]
    mu: torch.Tensor  # [layer, head, d_head]
    config: ScoreConfig
    plan: Plan
    heads_by_layer: dict[int, list[int]] | None = None

    @property
    def split_mask(self) -> torch.Tensor:
        """Where a head is split into z - mu and mu, [batch, pos, 1, 1] bool."""
        return position_mask(self.batch, self.config.positions)[..., None, None]

    def head_chunks(self, layer: int) -> Iterator[list[int]]:
        """The heads of a layer to score, as many at a time as the plan allows, in chunks of nearly
        equal size.
        """
        if self.heads_by_layer is None:
            heads = list(range(self.model.n_heads))
        else:
            heads = self.heads_by_layer.get(layer, [])
        size = chunk_size(len(heads), self.plan.streams, self.batch.ids.numel())
        yield from (heads[start : start + size] for start in range(0, len(heads), size))

    def label_logits(self, batch: Batch | None = None) -> torch.Tensor:
        """Logits of the labels at the readout of a batch (default: this one), [batch, label]."""
        logits = readout_logits(self.model.hf, self.batch if batch is None else batch)
        return logits[:, self.label_tokens].to(self.direction.device)


def output_columns(model: Model, layer: int, head: int) -> torch.Tensor:
    """The columns of the output projection that read a head's z, [d_model, d_head]."""
    start = head * model.d_head
    with weights_loaded(model.blocks[layer].o.module):
        return model.blocks[layer].o.weight[:, start : start + model.d_head].clone()
