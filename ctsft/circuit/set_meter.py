"""Measures the sets of heads that a surrogate of faithfulness is fitted to.

Measured sets are stored as they arrive, so that a run that was stopped goes on from there, and the
same sets are never measured twice.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ctsft.attribution.means import Means
from ctsft.attribution.pool import rows_as_tokens
from ctsft.cache.entry import Entry
from ctsft.cache.hashing import tensors_hash
from ctsft.circuit.faithfulness import circuit_logits, gold_labels
from ctsft.circuit.mask_design import draw_masks
from ctsft.circuit.measured_sets import MeasuredSets
from ctsft.data.task import Example, Task
from ctsft.model.fingerprint import model_identity
from ctsft.model.model import Model
from ctsft.utils import distributed
from ctsft.utils.format import Head

STORED_EVERY = 20.0  # seconds


@dataclass(frozen=True)
class SetMeter:
    """What sets of heads are measured with. `cache`: store measured sets on disk."""

    model: Model
    task: Task
    rows: list[Example]
    means: Means
    cache: bool = False

    def entry(self, masks: np.ndarray) -> Entry | None:
        """The place of these sets' logits on disk."""
        if not self.cache:
            return None
        inputs = {
            "rows": rows_as_tokens(self.model, self.task, self.rows),
            "labels": list(self.task.label_ids(self.model).values()),
            "means": tensors_hash({"": self.means.values}),
            "masks": tensors_hash({"": torch.from_numpy(masks)}),
        }
        what = {"task": self.task.name, "what": f"{len(masks)} circuits, {len(self.rows)} texts"}
        return Entry("circuits", model_identity(self.model), what, inputs, by=circuit_logits)

    def measure(
        self, rankings: Sequence[Sequence[Head]], count: int, seed: int = 0
    ) -> Iterator[MeasuredSets]:
        """`count` sets, fewer where a model has not so many: the empty one, the full one, and sets
        drawn by `draw_masks` near these rankings. Yields what is measured so far, after each set,
        beginning with what was stored before.
        """
        shape = (self.model.n_layers, self.model.n_heads)
        n_heads = shape[0] * shape[1]
        numbers = [[layer * shape[1] + head for layer, head in ranking] for ranking in rankings]
        drawn, near = draw_masks(numbers, n_heads, count - 2, seed)
        ends = np.stack([np.zeros(n_heads, bool), np.ones(n_heads, bool)])
        masks, near = np.concatenate([ends, drawn]), np.concatenate([[False, False], near])
        gold = gold_labels(self.task, self.rows).numpy()
        for logits in self.logits(masks):
            done = len(logits)
            yield MeasuredSets(shape, masks[:done], np.stack(logits), gold, near[:done])

    def logits(self, masks: np.ndarray) -> Iterator[list[np.ndarray]]:
        """Of the labels, [row, label] for each set that is done; one more set at a time."""
        entry = self.entry(masks)
        stored = entry.read() if entry else None
        # with several processes, all of them must have the stored sets
        everywhere = distributed.all_agree(bool(stored), self.model.device)
        logits = list(stored[0]["logits"].numpy()) if stored and everywhere else []
        if logits:
            yield logits
        written = time.monotonic()
        for mask in masks[len(logits) :]:
            logits.append(self.of_set(mask))
            due = len(logits) == len(masks) or time.monotonic() - written > STORED_EVERY
            if entry and due and distributed.RANK == 0:
                entry.write({"logits": torch.from_numpy(np.stack(logits))})
                written = time.monotonic()
            yield logits

    def of_set(self, mask: np.ndarray) -> np.ndarray:
        """The labels' logits with the heads of a mask [head] alone, [row, label] float32."""
        layers, heads = mask.reshape(self.model.n_layers, -1).nonzero()
        circuit = frozenset(zip(layers.tolist(), heads.tolist(), strict=True))
        return circuit_logits(self.model, self.task, circuit, self.rows, self.means).float().numpy()
