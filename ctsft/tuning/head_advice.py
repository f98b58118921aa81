"""Which heads to train: what the target gains from each head against what the source loses.

Near the checkpoint, changing the parameters t of some heads by d changes the target's loss by about
g . d (g: its gradient on the target rows). It changes the source's loss, whose gradient is about 0
where the source was learnt, by about d' F d / 2. F is the empirical Fisher information, the mean
over source examples of the squared gradient of each one's loss, its diagonal only (elastic weight
consolidation, Kirkpatrick et al. 2017, arXiv 1612.00796). Among all changes that cost the source no
more than c, the best is d = -s g / F, and the target gains

    sqrt(2 c * sum_i g_i^2 / F_i)

so the value of a set of heads is the sum of g_i^2 / (F_i + damping) over its parameters: the target
gain per source loss. Heads are chosen one after another, each time the one that adds most. That is
the best set of k where heads share nothing. Where heads share the parameters of a key/value group,
which count once, its value is at least 1 - 1/e of the best (a submodular sum). `damping` keeps
parameters that no source example uses from counting without bound; its unit is the mean of F over
all attention matrices.

This is an estimate for small changes, with a diagonal; an experiment shows whether it helps.
"""

import math
from dataclasses import dataclass, field

import torch

from ctsft.attribution.scores import Head
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Example, Task
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.tuning.gradients import Gradients, Progress, fisher, mean_gradient
from ctsft.tuning.trainable import LinearSlice, head_slices
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class Advice:
    """What each head is worth; float64 on the CPU.

    `value` is the sum of g^2 / (F + damping): `head_value` over a head's query rows and output
    columns, `group_value` over the key/value rows of its group. `gradient_squared` is the sum of
    g^2, and `fisher` the sum of F, over both.
    """

    head_value: torch.Tensor  # [layer, head]
    group_value: torch.Tensor  # [layer, group]
    gradient_squared: torch.Tensor  # [layer, head]
    fisher: torch.Tensor  # [layer, head]
    damping: float
    about: dict = field(default_factory=dict)  # shape of the model, counts of rows

    @property
    def values(self) -> torch.Tensor:  # [layer, head]
        """What each head alone is worth."""
        return self.head_value + self.group_value.repeat_interleave(self.group, 1)

    @property
    def gradient(self) -> torch.Tensor:  # [layer, head]
        """Norm of the target loss's gradient with respect to what is trained with the head."""
        return self.gradient_squared.sqrt()

    @property
    def group(self) -> int:
        """Query heads that share key/value rows."""
        return self.head_value.shape[1] // self.group_value.shape[1]

    def order(self, k: int | None = None) -> list[Head]:
        """The heads in the order in which each adds most, all or the first k; ties by layer and
        head. UserError for a k outside 0 to the number of heads.
        """
        size = self.head_value.numel()
        if k is not None and not 0 <= k <= size:
            raise UserError(f"k is {k}, and the model has {size} heads; choose 0 to {size}.")
        head_value, group_value = self.head_value.tolist(), self.group_value.tolist()

        def added(at: Head) -> tuple[float, int, int]:
            layer, head = at
            value = head_value[layer][head] + group_value[layer][head // self.group]
            return value, -layer, -head

        remaining = [(layer, i) for layer, row in enumerate(head_value) for i in range(len(row))]
        order: list[Head] = []
        while remaining and len(order) < (size if k is None else k):
            layer, head = max(remaining, key=added)
            remaining.remove((layer, head))
            order.append((layer, head))
            # the group's rows are trained from now on, whichever head comes next
            group_value[layer][head // self.group] = 0.0
        return order

    def circuit(self, k: int = 6) -> Circuit:
        """The k heads that are worth most together: the rule `advised`. UserError for a k outside 0
        to the number of heads.
        """
        return self.ranking().circuit(k)

    def ranking(self) -> Ranking:
        """Every head by rank, without the slices that its values are sums of."""
        values, gradient = self.values, self.gradient
        rows = [
            {
                "layer": layer,
                "head": head,
                "value": values[layer, head].item(),
                "gradient": gradient[layer, head].item(),
                "fisher": self.fisher[layer, head].item(),
                "rank": rank,
            }
            for rank, (layer, head) in enumerate(self.order(), 1)
        ]
        return Ranking(tuple(rows), self.about | {"damping": self.damping})


def slice_sum(part: LinearSlice, table: dict[int, torch.Tensor]) -> float:
    """Sum over a slice of what `table` holds: {id of a parameter: a value for each element}."""
    weight = table[id(part.linear.module.weight)]  # as the module stores it
    weight = weight.T if part.linear.transposed else weight  # [out, in]
    index = part.index.to(weight.device)
    if part.columns:
        return weight[:, index].sum().item()
    total = weight[index].sum()
    bias = part.linear.module.bias
    return (total if bias is None else total + table[id(bias)][index].sum()).item()


def head_sums(model: Model, table: dict[int, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of `table` (`slice_sum`) over the slices of each head alone, [layer, head], and over
    those of its key/value group, [layer, group].
    """
    alone = torch.zeros(model.n_layers, model.n_heads).double()
    shared = torch.zeros(model.n_layers, model.n_heads).double()
    for layer, head in model.heads:
        head_parts, group_parts = head_slices(model, layer, head)
        alone[layer, head] = sum(slice_sum(part, table) for part in head_parts)
        shared[layer, head] = sum(slice_sum(part, table) for part in group_parts)
    return alone, shared[:, :: model.n_heads // model.n_kv_heads].clone()


def source_information(
    model: Model,
    task: Task,
    source: list[Example],
    information: list[torch.Tensor] | None = None,
    progress: Progress | None = None,
) -> list[torch.Tensor]:
    """`fisher` of the source rows: `information` where it is computed already; otherwise
    progress(done, rows) is called while it is computed.
    """
    return information or fisher(model, task, source, progress)


def advise_heads(
    model,
    task: Task,
    target: list[Example],
    source: list[Example],
    damping: float = 1.0,
    **known,
) -> Advice:
    """What each head is worth: target rows (those that would be trained on) against source rows.
    Neither may be test rows. The model stays as it is.

    damping: in units of the mean Fisher information of the attention matrices. `known` are keywords
    of `source_information`: information, or progress(done, rows). UserError without rows, or for a
    damping that is not above 0.
    """
    model = as_model(model)
    if not target or not source:
        raise UserError(
            f"Advice needs rows of both languages, and there are {len(target)} of the target and"
            f" {len(source)} of the source; give at least one of each."
        )
    if not 0 < damping < math.inf:
        raise UserError(
            f"The damping is {damping}; choose a number above 0 (1 is the mean Fisher information)."
        )
    gradients = Gradients(model, task)
    model.hf.eval()
    information = source_information(model, task, source, **known)
    squared = [value.square() for value in mean_gradient(gradients, target)]
    size = sum(value.numel() for value in information)
    mean = sum(value.sum().item() for value in information) / size
    epsilon = damping * mean or torch.finfo(torch.float64).tiny
    worth = [g / (f + epsilon) for g, f in zip(squared, information, strict=True)]
    ids = [id(parameter) for parameter in gradients.parameters]
    (head_value, group_value), *sums = (
        head_sums(model, dict(zip(ids, values, strict=True)))
        for values in (worth, squared, information)
    )
    repeats = model.n_heads // model.n_kv_heads
    gradient_squared, fisher_sum = (
        alone + shared.repeat_interleave(repeats, 1) for alone, shared in sums
    )
    about = {
        "model": model.name,
        "model_type": model.model_type,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "task": task.name,
        "target_rows": len(target),
        "source_rows": len(source),
    }
    return Advice(head_value, group_value, gradient_squared, fisher_sum, epsilon, about)
