"""An equal model in which each query head owns its key/value rows: what `kv="expand"` tunes
(CT-SFT, arXiv 2601.08146).

Grouped-query attention (Ainslie et al., arXiv 2305.13245) lets a group of query heads share one
key/value head. Repeating that head's rows once for each head of the group gives multi-head
attention with the same logits, in which a head can move alone. A norm over all keys together keeps
its result: the mean square of repeated numbers is that of the numbers.
"""

import copy

import torch
from transformers.initialization import no_init_weights

from ctsft.model.architecture import Linear
from ctsft.model.loading import wrap
from ctsft.model.model import Model


def expand(model: Model) -> Model:
    """An equal model with as many key/value heads as query heads; the model itself where it has
    them already.

    Save it as an ordinary Hugging Face folder with `.hf.save_pretrained` and
    `.tokenizer.save_pretrained`.
    """
    if model.n_kv_heads == model.n_heads:
        return model
    config = copy.deepcopy(model.hf.config)
    config.num_key_value_heads = config.num_attention_heads
    with no_init_weights():
        hf = type(model.hf)(config).to(model.dtype)
    hf.tie_weights()
    new, groups = Model(hf, model.tokenizer, model.name), model.n_heads // model.n_kv_heads
    with torch.no_grad():
        own = dict(hf.named_parameters())
        assert set(own) == {name for name, _ in model.hf.named_parameters()}
        for name, value in model.hf.named_parameters():
            if own[name].shape == value.shape:
                own[name].copy_(value)
        for old, block in zip(model.blocks, new.blocks, strict=True):
            put(block.q, old.q.weight, old.q.bias)
            for mine, theirs in ((block.k, old.k), (block.v, old.v)):
                put(
                    mine,
                    repeated(theirs.weight, model.d_head, groups),
                    repeated(theirs.bias, model.d_head, groups),
                )
            if block.k_norm is not None:
                # of each head's keys, or of all keys together: then as wide as they are
                for mine, theirs in zip(
                    block.k_norm.module.parameters(), old.k_norm.module.parameters(), strict=True
                ):
                    mine.copy_(
                        theirs
                        if mine.shape == theirs.shape
                        else repeated(theirs, model.d_head, groups)
                    )
    return wrap(hf.to(model.device), model.tokenizer, model.name)


def repeated(value: torch.Tensor | None, d_head: int, groups: int) -> torch.Tensor | None:
    """[kv_head * d_head, ...] -> [head * d_head, ...]: each key/value head's rows once for every
    head of its group.
    """
    return (
        None
        if value is None
        else value.unflatten(0, (-1, d_head)).repeat_interleave(groups, 0).flatten(0, 1)
    )


def put(linear: Linear, weight: torch.Tensor, bias: torch.Tensor | None):
    """Write a projection's rows, wherever its module keeps them."""
    if linear.transposed:
        linear.module.weight[:, linear.rows] = weight.T
    else:
        linear.module.weight[linear.rows] = weight
    if bias is not None:
        linear.module.bias[linear.rows] = bias
