"""A tiny model in which known heads do the task, and the others do nothing or work against it."""

import torch

from ctsft.attribution.means import label_balanced_means
from ctsft.circuit.faithfulness import ablated
from ctsft.model.model import Model
from support.tasks import agreed

CARRIERS = ((0, 1), (2, 3))


def planted(build, task, against=None):
    """The model, rows that it predicts correctly, its means, and the heads that carry the task.

    Of a tiny Qwen2's output projections only the columns of the carriers stay; then those of the
    head `against` come back, with the sign by which it lowers the margin of these rows.
    """
    model: Model = build("qwen2")
    left_out = {}
    with torch.no_grad():
        for head in model.heads:
            if head not in CARRIERS:
                left_out[head] = columns(model, head).clone()
                columns(model, head).zero_()
    rows = agreed(model, task, 4)
    for sign in (1, -1) if against else ():
        with torch.no_grad():
            columns(model, against).copy_(sign * left_out[against])
        means = label_balanced_means(model, task, rows)
        sets = frozenset(model.heads), frozenset(model.heads) - {against}
        with_it, without = [
            ablated(model, task, heads, rows, means).margin.mean() for heads in sets
        ]
        if with_it < without:
            break
    return model, rows, label_balanced_means(model, task, rows), list(CARRIERS)


def columns(model: Model, head: tuple[int, int]) -> torch.Tensor:
    """The columns of the output projection that read a head, [d_model, d_head], to be changed."""
    weight = model.blocks[head[0]].o.module.weight
    return weight[:, head[1] * model.d_head : (head[1] + 1) * model.d_head]
