"""An equal model in which each query head has key/value rows that no other head uses: what
`kv="expand"` tunes (CT-SFT, arXiv 2601.08146).

With grouped-query attention (Ainslie et al., arXiv 2305.13245) a group of query heads shares one
key/value head. Repeating that head's rows once for each query head of the group gives multi-head
attention with the same logits, in which a head can be trained alone. A norm over all keys together
keeps its result: the mean square does not change when every number is repeated.
"""

import copy

import torch
from transformers.initialization import no_init_weights

from ctsft.model.architecture import Block, Linear
from ctsft.model.loading import wrap
from ctsft.model.model import Model


def expand(model: Model) -> Model:
    """An equal model with as many key/value heads as query heads; `model` itself if it has them
    already.

    Save it as an ordinary Hugging Face folder with `.hf.save_pretrained` and
    `.tokenizer.save_pretrained`.
    """
    if model.n_kv_heads == model.n_heads:
        return model
    expanded = Model(uninitialised_twin(model), model.tokenizer, model.name)
    with torch.no_grad():
        copy_equal_parameters(model, expanded)
        for source, target in zip(model.blocks, expanded.blocks, strict=True):
            expand_block(source, target, model)
    return wrap(expanded.hf.to(model.device), model.tokenizer, model.name)


def uninitialised_twin(model: Model):
    """A Hugging Face model like `model.hf`, with as many key/value heads as query heads."""
    config = copy.deepcopy(model.hf.config)
    config.num_key_value_heads = config.num_attention_heads
    with no_init_weights():
        hf = type(model.hf)(config).to(model.dtype)
    hf.tie_weights()
    return hf


def copy_equal_parameters(source: Model, target: Model):
    """Copy every parameter that has the same shape in both models."""
    parameters = dict(target.hf.named_parameters())
    assert set(parameters) == {name for name, _ in source.hf.named_parameters()}
    for name, value in source.hf.named_parameters():
        if parameters[name].shape == value.shape:
            parameters[name].copy_(value)


def expand_block(source: Block, target: Block, model: Model):
    """Write the block's queries, its repeated keys and values, and its repeated norm of the keys.
    `model`: the one of `source`.
    """
    d_head, group = model.d_head, model.n_heads // model.n_kv_heads
    write_rows(target.q, source.q.weight, source.q.bias)
    for old, new in ((source.k, target.k), (source.v, target.v)):
        bias = None if old.bias is None else repeat_rows(old.bias, d_head, group)
        write_rows(new, repeat_rows(old.weight, d_head, group), bias)
    if target.k_norm is not None:
        old_values = source.k_norm.module.parameters()
        new_values = target.k_norm.module.parameters()
        for old, new in zip(old_values, new_values, strict=True):
            # a norm over each head's keys stays; one over all keys becomes as wide as they are
            new.copy_(old if new.shape == old.shape else repeat_rows(old, d_head, group))


def repeat_rows(value: torch.Tensor, d_head: int, group: int) -> torch.Tensor:
    """[kv_head * d_head, ...] -> [head * d_head, ...]: each key/value head's rows, once for every
    query head of its group.
    """
    return value.unflatten(0, (-1, d_head)).repeat_interleave(group, 0).flatten(0, 1)


def write_rows(linear: Linear, weight: torch.Tensor, bias: torch.Tensor | None):
    """Write the weight [out, in] and bias [out] of a linear map into its module."""
    if linear.transposed:
        linear.module.weight[:, linear.rows] = weight.T
    else:
        linear.module.weight[linear.rows] = weight
    if bias is not None:
        linear.module.bias[linear.rows] = bias
