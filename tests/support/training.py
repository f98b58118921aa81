"""What training may change, and small settings to train with."""

import torch

from ctsft.circuit.circuit import Circuit
from ctsft.tuning.config import TuneConfig

HEADS = frozenset({(0, 1), (2, 0), (2, 3)})
CIRCUIT = Circuit(HEADS)
# 12 rows: 9 steps
QUICK = TuneConfig(epochs=3, learning_rate=1e-2, batch_size=4)


def same(a, b) -> bool:
    one, other = bits(a.hf), bits(b.hf)
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def timeless(history):
    """All that was measured, to the last digit; only how long it took is left out."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def stopping(after: int):
    """True from that step on."""
    steps = []
    return lambda: steps.append(1) or len(steps) >= after


def may_move(hf, heads) -> dict[str, torch.Tensor]:
    """{parameter: bool mask of its numbers that may move}, written from the method's text, not from
    the code under test.
    """
    masks = {
        name: torch.zeros_like(value, dtype=torch.bool) for name, value in hf.named_parameters()
    }
    for name, mask in masks.items():
        mask |= "norm" in name or ".ln_" in name
    for layer, head in heads:
        head_slice, group = slice(head * 8, head * 8 + 8), slice(head // 2 * 8, head // 2 * 8 + 8)
        if hf.config.model_type == "gpt2":
            # [in, out]: q, k and v side by side
            at = f"transformer.h.{layer}.attn."
            for third in range(3):
                masks[at + "c_attn.weight"][
                    :, 32 * third + head * 8 : 32 * third + head * 8 + 8
                ] = True
                masks[at + "c_attn.bias"][32 * third + head * 8 : 32 * third + head * 8 + 8] = True
            masks[at + "c_proj.weight"][head_slice] = True
        else:
            at = f"model.layers.{layer}.self_attn."
            for module, rows in (("q_proj", head_slice), ("k_proj", group), ("v_proj", group)):
                for name in ("weight", "bias"):
                    if f"{at}{module}.{name}" in masks:
                        masks[f"{at}{module}.{name}"][rows] = True
            masks[at + "o_proj.weight"][:, head_slice] = True
    return masks


def bits(hf) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone().view(torch.int32) for name, value in hf.named_parameters()}


def trespassers(before, after, masks) -> list[str]:
    """Parameters with a changed number where none may change."""
    return [name for name, mask in masks.items() if ((before[name] != after[name]) & ~mask).any()]


# so that torch's generator counts
DROPOUT = {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}
