"""Sets of heads that were measured, and what was measured: the labels' logits of every row."""

from dataclasses import dataclass

import numpy as np

MEASURES = ("accuracy", "margin")  # as in `Faithfulness`


@dataclass(frozen=True)
class MeasuredSets:
    """Measured sets of heads. `shape`: layers, heads in a layer; `masks`: bool [mask, head], layer
    after layer, the first without heads and the second with all; `logits`: of the labels, [mask,
    row, label]; `gold`: the number of each row's correct label; `near`: which sets are near a
    ranking, [mask] bool.
    """

    shape: tuple[int, int]
    masks: np.ndarray
    logits: np.ndarray
    gold: np.ndarray
    near: np.ndarray

    @property
    def outputs(self) -> np.ndarray:
        """What a process predicts: the logits without their mean, which moves no measure, [mask,
        row * label].
        """
        centred = self.logits - self.logits.mean(-1, keepdims=True)
        return centred.reshape(len(centred), -1).astype(np.float64)

    def measures(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """{measure: [mask]} of outputs [mask, row * label]."""
        logits = outputs.reshape(len(outputs), *self.logits.shape[1:])
        n_labels = logits.shape[-1]
        weights = np.full(logits.shape[1:], -1 / (n_labels - 1))
        weights[np.arange(len(self.gold)), self.gold] = 1.0
        return {
            "accuracy": (logits.argmax(-1) == self.gold).mean(1),
            "margin": (logits * weights).sum(-1).mean(1),
        }

    @property
    def row_share(self) -> float:
        """How far one row changes faithfulness by accuracy."""
        empty, full = self.measures(self.outputs[:2])["accuracy"]
        return 1 / (len(self.gold) * abs(full - empty))

    def faithfulness(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """{measure: [mask]} of outputs [mask, row * label]; see `ratios`."""
        return self.ratios(self.measures(outputs))

    def ratios(self, measures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The measures relative to the first two sets; one by which those agree is left out."""
        ends, ratios = self.measures(self.outputs[:2]), {}
        for name, values in measures.items():
            empty, full = ends[name]
            if full != empty:
                ratios[name] = (values - empty) / (full - empty)
        return ratios
