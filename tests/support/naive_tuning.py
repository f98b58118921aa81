"""Tuning as the method's text says it, line by line: the whole model in float64 with masks, one
batch of all rows a step. What the library computes is compared with it.
"""

import torch
from torch.nn import functional as F

from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from support.training import HEADS, may_move


def float64(model):
    model.hf.double()
    model.mark_changed()
    return model


def masks_of(model, what):
    """{parameter: bool mask of its numbers that are trained}."""
    if what == "full":
        return {
            name: torch.ones_like(value, dtype=torch.bool)
            for name, value in model.hf.named_parameters()
        }
    return may_move(model.hf, HEADS)


def farthest(one, other) -> float:
    """The largest difference between two models' parameters."""
    values = dict(other.hf.named_parameters())
    return max(
        (value - values[name]).abs().max().item() for name, value in one.hf.named_parameters()
    )


def batch_logits(model, task, rows):
    return readout_logits(model.hf, pad([task.encode(model, row) for row in rows], "cpu"))


def loss_of(model, task, rows):
    tokens = task.label_ids(model)
    gold = torch.tensor([tokens[row.label] for row in rows])
    return F.cross_entropy(batch_logits(model, task, rows).float(), gold)


def label_shares(model, task, rows):
    """Probabilities of the labels among the label tokens, [row, label]."""
    return batch_logits(model, task, rows)[:, list(task.label_ids(model).values())].softmax(-1)


def naive_fisher(model, task, masks, rows):
    """{parameter: mean over rows of the squared gradient}, 0 outside of the masks."""
    hf = model.hf.requires_grad_(True).eval()
    total = {name: torch.zeros_like(value) for name, value in hf.named_parameters()}
    for row in rows:
        hf.zero_grad()
        loss_of(model, task, [row]).backward()
        for name, value in hf.named_parameters():
            total[name] += value.grad**2 * masks[name] / len(rows)
    return total


def naive_tuning(model, task, masks, config, source, batches):
    """AdamW on each batch of `batches`, with every way of keeping the source that the settings
    name, and nothing changed outside of the masks.
    """
    hf, steps = model.hf, len(batches)
    fisher = naive_fisher(model, task, masks, source)
    mean = sum(value.sum() for value in fisher.values()) / sum(int(m.sum()) for m in masks.values())
    start = {name: value.detach().clone() for name, value in hf.named_parameters()}
    before = label_shares(model, task, source).detach()
    matrices = [value for value in hf.parameters() if value.ndim == 2]
    vectors = [value for value in hf.parameters() if value.ndim == 1]  # the Trainer decays none
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors}],
        weight_decay=0.0,
    )
    for step, rows in enumerate(batches):
        rate = config.learning_rate * (1 - step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = loss_of(model, task, rows)
        if config.ewc:
            for name, value in hf.named_parameters():
                change = value - start[name]
                loss = loss + config.ewc / 2 * (fisher[name] / mean * change**2).sum()
        if config.kl:
            ratio = (before / label_shares(model, task, source)).log()
            loss = loss + config.kl * (before * ratio).sum(-1).mean()
        loss.backward()
        for name, value in hf.named_parameters():
            value.grad *= masks[name]
        torch.nn.utils.clip_grad_norm_(hf.parameters(), config.max_grad_norm)
        optimizer.step()
        with torch.no_grad():
            for name, value in hf.named_parameters():
                pull = config.hold * fisher[name] / mean + config.l2
                change = (value - start[name]) / (1 + rate / config.learning_rate * pull)
                value.copy_(torch.where(masks[name], start[name] + change, start[name]))
