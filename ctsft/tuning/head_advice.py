"""Which heads should move: what the target asks of each head against what the source would lose by
it.

Near the checkpoint, moving the numbers t of some heads by d changes the target's loss by about g .
d (g: its gradient on the target rows) and the source's, whose gradient is about 0 where the source
was learnt, by about d' F d / 2. F is the empirical Fisher information, the mean over source
examples of the squared gradient of each one's loss, its diagonal only (elastic weight
consolidation, Kirkpatrick et al. 2017, arXiv 1612.00796). Among all moves that cost the source no
more than c, the best is d = -s g / F, and it wins the target

    sqrt(2 c * sum_i g_i^2 / F_i)

so a set of heads is worth the sum of g_i^2 / (F_i + damping) over the numbers that would move: the
gain per source loss. Heads are taken one after another, each time the one that adds most: the best
k where heads share nothing; where a key/value group's numbers, which count once, are shared, at
least 1 - 1/e of the best (a submodular sum). `damping` keeps numbers that no source example touched
from counting without bound: the mean of F over all attention matrices.

An estimate of small moves with a diagonal: `experiment` says whether it helps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from ctsft.attribution.scores import Head
from ctsft.circuit.advice_ranking import Ranking
from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Example, Task
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.tuning.trainable import LinearSlice
from ctsft.utils.errors import UserError

Progress = Callable[[float, float], None]


@dataclass(frozen=True)
class Advice:
    """float64 on the CPU. `own[..., head]` are a head's query rows and output columns, `shared[...,
    group]` its group's key/value rows; of each: `value` sum of g^2 / (F + damping),
    `gradient_squared` sum of g^2, `fisher` sum of F.
    """

    head_value: torch.Tensor  # [layer, head]
    group_value: torch.Tensor  # [layer, group]
    gradient_squared: torch.Tensor  # [layer, head]: own and shared
    fisher: torch.Tensor  # [layer, head]: own and shared
    damping: float
    about: dict = field(default_factory=dict)  # shape of the model, counts of rows

    @property
    def values(self) -> torch.Tensor:
        """What each head alone would be worth, [layer, head]."""
        return self.head_value + self.group_value.repeat_interleave(self.group, 1)

    @property
    def gradient(self) -> torch.Tensor:
        """Norm of the target loss's gradient with respect to what moves with the head, [layer,
        head].
        """
        return self.gradient_squared.sqrt()

    @property
    def group(self) -> int:
        """Query heads that share key/value rows."""
        return self.head_value.shape[1] // self.group_value.shape[1]

    def order(self, k: int | None = None) -> list[Head]:
        """The heads in the order in which each adds most, all or the first k; ties by layer and
        head.
        """
        size = self.head_value.numel()
        if k is not None and not 0 <= k <= size:
            raise UserError(f"k is {k}, and the model has {size} heads; choose 0 to {size}.")
        own, shared, order, group = (
            self.head_value.tolist(),
            self.group_value.tolist(),
            [],
            self.group,
        )
        left = [(layer, head) for layer in range(len(own)) for head in range(len(own[0]))]
        while left and len(order) < (size if k is None else k):
            best = max(
                left,
                key=lambda at: (own[at[0]][at[1]] + shared[at[0]][at[1] // group], -at[0], -at[1]),
            )
            left.remove(best)
            order.append(best)
            # its group's rows move from now on anyway
            shared[best[0]][best[1] // group] = 0.0
        return order

    def circuit(self, k: int = 6) -> Circuit:
        """The k heads that are worth most together: the rule `advised`. UserError for a k that the
        model has not.
        """
        return self.ranking().circuit(k)

    def ranking(self) -> Ranking:
        """Its numbers without the slices they are sums of."""
        values, gradient = self.values, self.gradient
        rows = [
            {
                "layer": layer,
                "head": head,
                "value": values[layer, head].item(),
                "gradient": gradient[layer, head].item(),
                "fisher": self.fisher[layer, head].item(),
                "rank": i + 1,
            }
            for i, (layer, head) in enumerate(self.order())
        ]
        return Ranking(tuple(rows), self.about | {"damping": self.damping})


class Gradients:
    """Gradients of the label loss with respect to every attention matrix of a model; `open` sets it
    up, and it leaves nothing behind.
    """

    def __init__(self, model: Model, task: Task):
        self.model, self.task, self.tokens = model, task, task.label_ids(model)
        modules = {
            id(linear.module): linear.module
            for block in model.blocks
            for linear in (block.q, block.k, block.v, block.o)
        }
        self.parameters = [
            parameter
            for module in modules.values()
            for parameter in module.parameters(recurse=False)
        ]

    def of(self, rows: list[Example]) -> list[torch.Tensor]:
        """Gradient of the rows' mean cross-entropy of the gold label at the readout, one tensor a
        parameter.
        """
        batch = pad(
            [self.task.encode(self.model, row) for row in rows],
            self.model.device,
            reads_first=self.model.architecture.reads_first,
        )
        gold = torch.tensor([self.tokens[row.label] for row in rows], device=self.model.device)
        before = [parameter.requires_grad for parameter in self.parameters]
        try:
            for parameter in self.parameters:
                parameter.requires_grad_(True)
            with torch.enable_grad():
                loss = F.cross_entropy(readout_logits(self.model.hf, batch).float(), gold)
                return [
                    value.detach().double() for value in torch.autograd.grad(loss, self.parameters)
                ]
        finally:
            for parameter, was in zip(self.parameters, before, strict=True):
                parameter.requires_grad_(was)


def mean_gradient(gradients: Gradients, rows: list[Example], batch: int = 8) -> list[torch.Tensor]:
    """Gradient of the mean loss over all rows, shortest together."""
    order = sorted(rows, key=lambda row: len(row.text))
    total = [torch.zeros_like(value, dtype=torch.float64) for value in gradients.parameters]
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        for sum_, value in zip(total, gradients.of(some), strict=True):
            sum_ += value * (len(some) / len(rows))
    return total


def fisher(
    model, task: Task, rows: list[Example], progress: Progress | None = None
) -> list[torch.Tensor]:
    """Diagonal empirical Fisher information of the attention matrices: the mean over rows of each
    one's squared gradient (arXiv 1612.00796).
    """
    gradients = Gradients(as_model(model), task)
    total = [torch.zeros_like(value, dtype=torch.float64) for value in gradients.parameters]
    for done, row in enumerate(rows, 1):
        for sum_, value in zip(total, gradients.of([row]), strict=True):
            sum_ += value.square() / len(rows)
        if progress:
            progress(done, len(rows))
    return total


def head_slices(model: Model, layer: int, head: int) -> tuple[list[LinearSlice], list[LinearSlice]]:
    """The slices that are the head's own (query rows, output columns), and those it shares with its
    key/value group.
    """
    block, d, group = model.blocks[layer], model.d_head, head // (model.n_heads // model.n_kv_heads)

    def rows(linear, number):
        return LinearSlice(
            type(linear)(linear.module),
            torch.as_tensor(list(linear.output_features(number * d, (number + 1) * d))),
            columns=False,
        )

    columns = LinearSlice(
        type(block.o)(block.o.module), torch.arange(head * d, (head + 1) * d), columns=True
    )
    return [rows(block.q, head), columns], [rows(block.k, group), rows(block.v, group)]


def total(part: LinearSlice, table: dict[int, torch.Tensor]) -> float:
    """Sum of what `table` (parameter's id -> a number for each of its numbers) holds for the
    numbers of a slice.
    """
    weight = table[id(part.linear.module.weight)]  # as the module stores it
    weight = weight.T if part.linear.transposed else weight  # [out, in]
    index = part.index.to(weight.device)
    found = (weight[:, index] if part.columns else weight[index]).sum()
    bias = None if part.columns else part.linear.module.bias
    return (found if bias is None else found + table[id(bias)][index].sum()).item()


def advise_heads(
    model,
    task: Task,
    target: list[Example],
    source: list[Example],
    damping: float = 1.0,
    information: list[torch.Tensor] | None = None,
    progress: Progress | None = None,
) -> Advice:
    """What each head is worth: target rows (those one would tune on) against source rows; neither
    may be test rows.

    `damping` in units of the mean Fisher information of the attention matrices. `information`:
    `fisher` of the source rows, where it is known already. Raises UserError without rows or for a
    damping that is not positive. The model stays as it is.
    """
    model = as_model(model)
    if not target or not source:
        raise UserError(
            f"Advice needs rows of both languages, and there are {len(target)} of the target and"
            f" {len(source)} of the source; give at least one of each."
        )
    if not damping > 0:
        raise UserError(
            f"The damping is {damping}; choose a number above 0 (1 is the mean Fisher information)."
        )
    gradients = Gradients(model, task)
    model.hf.eval()
    information = information or fisher(model, task, source, progress)
    asked = [value.square() for value in mean_gradient(gradients, target)]
    mean = sum(value.sum().item() for value in information) / sum(
        value.numel() for value in information
    )
    epsilon = damping * mean or torch.finfo(torch.float64).tiny
    ids = [id(parameter) for parameter in gradients.parameters]
    tables = [
        dict(zip(ids, values, strict=True))
        for values in (
            [g / (f + epsilon) for g, f in zip(asked, information, strict=True)],
            asked,
            information,
        )
    ]
    own, shared = (
        torch.zeros(3, model.n_layers, model.n_heads).double(),
        torch.zeros(3, model.n_layers, model.n_heads).double(),
    )
    for layer, head in model.heads:
        mine, group = head_slices(model, layer, head)
        for i, table in enumerate(tables):
            own[i, layer, head] = sum(total(part, table) for part in mine)
            shared[i, layer, head] = sum(total(part, table) for part in group)
    step = model.n_heads // model.n_kv_heads
    about = {
        "model": model.name,
        "model_type": model.model_type,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "task": task.name,
        "target_rows": len(target),
        "source_rows": len(source),
    }
    return Advice(
        own[0], shared[0][:, ::step].clone(), own[1] + shared[1], own[2] + shared[2], epsilon, about
    )
