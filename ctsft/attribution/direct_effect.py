"""What a head writes straight to the logits (direct logit attribution, Elhage et al. 2021): its z
at the readout, through its columns of the output projection and the unembedding. Every norm on the
way keeps the scale that it has in the full pass; what later layers do with the head's output is
left out.
"""

import torch

from ctsft.attribution.cdt import Propagation
from ctsft.attribution.scores import Head
from ctsft.attribution.scoring_batch import output_columns
from ctsft.model.architecture import Linear, Norm, weights_loaded
from ctsft.model.forward import Trace
from ctsft.model.model import Model
from ctsft.model.replay import select_positions


def direct_effect(model: Model, trace: Trace, head: Head) -> torch.Tensor:
    """Direct logit effect of a head on the first text, [vocab or class], float32 on the CPU.

    Before a final softcap, and without biases; a tanh or ReLU of an encoder before the classes
    counts as the identity.
    """
    layer, number = head
    z = select_positions(trace.z[layer].flatten(-2), trace.batch.readout)[0, 0]
    z = z.unflatten(-1, (-1, model.d_head))[number]
    written = z @ output_columns(model, layer, number).T.to(z.device)
    return vector_to_logits(model, trace, layer, written)


def vector_to_logits(model: Model, trace: Trace, layer: int, x: torch.Tensor) -> torch.Tensor:
    """The direct effect on the logits, [vocab or class], of a vector [d_model] that the attention
    of `layer` writes at the first text's readout.
    """
    totals_of = Propagation(model, trace, keep_totals=False).totals
    readout = trace.batch.readout

    def at_readout(total):
        return (total if total.shape[1] == 1 else select_positions(total, readout))[0, 0]

    for later in range(layer, model.n_layers):
        block = model.blocks[later]
        # the norm of the attention's output changes only what this layer's attention writes
        attn_post = block.attn_post if later == layer else None
        if any(norm is not None for norm in (attn_post, block.attn_after, block.mlp_after)):
            with torch.no_grad():  # they do not depend on x
                totals = totals_of(later)
            with weights_loaded(block.module):
                x = norm_at_scale(x, attn_post, at_readout(totals.o))
                x = norm_at_scale(x, block.attn_after, at_readout(totals.add))
                x = norm_at_scale(x, block.mlp_after, at_readout(totals.sum))
    architecture = model.architecture
    with weights_loaded(*architecture.output_modules):
        x = norm_at_scale(x, architecture.final_norm, at_readout(trace.x[-1]))
        for step in architecture.head:
            if isinstance(step, Linear):
                x = step.weight @ x.to(step.weight.device)
    return x.float().cpu()


def norm_at_scale(x: torch.Tensor, norm: Norm | None, total: torch.Tensor) -> torch.Tensor:
    """A part x [d] of the input `total` [d] of a norm, after the norm at the total's scale, without
    bias; None: there is no norm here.
    """
    if norm is None:
        return x
    x = x.to(total.device)
    return (x - x.mean() if norm.centred else x) * norm.scale(total) * norm.gain
