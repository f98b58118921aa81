"""From which tokens a head takes what it writes towards the correct label.

A head's output at the readout r is the sum over the source tokens s of attention[r, s] times the
value of s. The way from there to the logits is linear once every norm keeps the scale of the full
pass (see `direct_effect`), so that the direct effect on the label direction is a sum over source
tokens too: the parts add up to it exactly (but for biases of the values, which every token brings
along with its attention).

Label direction: the logit of the correct label minus the mean logit of the other labels.
"""

from collections.abc import Mapping

import torch

from ctsft.attribution.cdt import Propagation
from ctsft.attribution.direct_effect import vector_to_logits
from ctsft.attribution.scores import Head
from ctsft.attribution.scoring_batch import output_columns
from ctsft.model.forward import Trace, attention_pattern
from ctsft.model.model import Model


@torch.no_grad()
def source_effects(
    model: Model, trace: Trace, head: Head, label_ids: Mapping[str, int], label: str
) -> torch.Tensor:
    """Direct effect of each source token through a head on the label direction of the first text,
    [pos], logits, float32 on the CPU.

    `trace`: not lean. `label_ids`: {label: its token or class}; `label`: the correct one.
    """
    layer, index = head
    values = Propagation(model, trace, keep_totals=False).totals(layer).v[0]
    group = index // (model.n_heads // model.n_kv_heads)
    value = values.unflatten(-1, (-1, model.d_head))[:, group]  # [pos, d_head]
    readout = int(trace.batch.readout[0])
    attention = attention_pattern(trace, layer)[0, index, readout]  # [pos]
    towards = label_weights(model, trace, layer, label_ids, label)  # [d_model]
    columns = output_columns(model, layer, index).to(value.device)  # [d_model, d_head]
    return (attention * (value @ (columns.T @ towards.to(value)))).float().cpu()


def label_weights(
    model: Model, trace: Trace, layer: int, label_ids: Mapping[str, int], label: str
) -> torch.Tensor:
    """The weights [d_model] of the linear map from what a layer's attention writes at the readout
    to the label direction: its gradient, as the map is linear.
    """
    others = [token for name, token in label_ids.items() if name != label]
    with torch.enable_grad():
        written = torch.zeros_like(trace.x[layer][0, 0]).requires_grad_()
        logits = vector_to_logits(model, trace, layer, written)
        lead = logits[label_ids[label]] - logits[others].mean()
        (gradient,) = torch.autograd.grad(lead, written)
    return gradient.detach()
