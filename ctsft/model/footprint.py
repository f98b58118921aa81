"""The sizes of a model that work and memory depend on, and the bytes and operations that follow.

Bytes are those of the widest moment of a pass. Attention is assumed to run without a [pos, pos]
matrix per head (torch's fused kernels), except under a softcap, and on CUDA with grouped key/value
heads.
"""

from dataclasses import dataclass

import torch

from ctsft.model.architecture import Linear
from ctsft.model.model import Model


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; `of` reads them from one, on the meta device too.

    Bytes are per token. Operations are multiplications and additions.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    vocab: int  # output features of the head
    gated: bool = False
    rotary: bool = False
    biased: int = 0  # width of the widest linear map with a bias
    matrices: bool = False  # attention runs with [pos, pos] matrices
    masks: int = 1  # number of different masks
    itemsize: int = 4  # bytes of a number

    @classmethod
    def of(cls, model: Model, device: str | None = None) -> "Shape":
        """`device`: the type of device that the model is to run on, if not the one it is on."""
        block, config = model.blocks[0], model.hf.config
        maps = [block.q, block.up, block.down, *([block.gate] if block.gate else [])]
        head = [step for step in model.architecture.head if isinstance(step, Linear)]
        grouped = model.n_kv_heads < model.n_heads
        on_cuda = (device or model.device.type) == "cuda"
        softcap = getattr(config, "attn_logit_softcapping", None)
        window = getattr(config, "sliding_window", None)
        return cls(
            model.n_layers,
            model.n_heads,
            model.n_kv_heads,
            model.d_head,
            model.d_model,
            d_mlp=block.down.weight.shape[1],
            vocab=len(head[-1].weight),
            gated=block.gate is not None,
            rotary=getattr(config, "rope_parameters", None) is not None,
            biased=max((len(part.bias) for part in maps if part.bias is not None), default=0),
            matrices=softcap is not None or (on_cuda and grouped),
            masks=1 if window is None else 2,
            itemsize=torch.finfo(model.dtype).bits // 8,
        )

    @property
    def q(self) -> int:
        """Width of the queries of all heads."""
        return self.n_heads * self.d_head

    @property
    def kv(self) -> int:
        """Width of the keys, and of the values."""
        return self.n_kv_heads * self.d_head

    @property
    def widest(self) -> int:
        """Width of the widest activation."""
        return max(self.d_mlp, self.q, self.d_model)

    # ---- bytes -------------------------------------------------------------

    def attention_numbers(self, pos: int) -> int:
        """Numbers per token of the attention matrices; 0 where attention is fused."""
        return 4 * self.n_heads * pos + 2 * self.q if self.matrices else 0

    def mask_bytes(self, pos: int) -> int:
        return self.masks * pos * (self.itemsize + 2)

    def stream_bytes(self, pos: int, symmetric: bool = False) -> int:
        """CD-T's relevant part of a token: buffers that stay, and the widest moment of a block."""
        buffers = 2 * self.d_mlp + 2 * max(self.biased, 0 if self.gated else self.d_model)
        source = 2 * self.d_head + self.d_model * (2 + self.d_head / pos)
        attention = 2 * (self.d_model + self.q + self.kv) + self.attention_numbers(pos)
        if self.rotary:
            attention += self.q + self.kv
        mlp = 4 * self.d_model + self.q
        rules = 3 * max(self.d_model, self.d_mlp) if symmetric else 0
        return int((buffers + max(source, attention, mlp) + rules) * self.itemsize)

    def trace_bytes(self, pos: int) -> int:
        """A token of a recorded pass: residual streams and masks."""
        return (self.n_layers + 1) * self.d_model * self.itemsize + self.mask_bytes(pos)

    def totals_bytes(self) -> int:
        """A token of one block's totals."""
        mlp = (3 if self.gated else 2) * self.d_mlp
        return (5 * self.d_model + 2 * self.q + 2 * self.kv + mlp) * self.itemsize

    def forward_bytes(self, pos: int) -> int:
        """A token of a plain forward pass, masks and the readout's logits included."""
        attention = 4 * self.d_model + (4 if self.rotary else 2) * (self.q + self.kv)
        attention += self.attention_numbers(pos)
        mlp = 3 * self.d_model + (3 if self.gated else 4) * self.d_mlp
        logits = 2 * self.vocab * self.itemsize // pos
        return max(attention, mlp) * self.itemsize + self.mask_bytes(pos) + logits

    def backward_bytes(self, pos: int, path: bool = False) -> int:
        """A token of a forward pass that stores what its backward pass needs. `path`: the outputs
        of heads are replaced on the way (integrated gradients).
        """
        attention = (6 if self.rotary else 4) * self.d_model + (7 if path else 3) * self.q
        attention += 3 * self.kv + self.attention_numbers(pos)
        block = attention + (4 if self.gated else 5) * self.d_mlp
        return self.n_layers * block * self.itemsize + self.forward_bytes(pos)

    # ---- operations --------------------------------------------------------

    def linear_sizes(self) -> dict[str, tuple[int, int]]:
        """{linear map: (input features, output features)} of a block."""
        d, q, kv = self.d_model, self.q, self.kv
        attention = {"q": (d, q), "k": (d, kv), "v": (d, kv), "o": (q, d)}
        mlp = {"up": (d, self.d_mlp), "down": (self.d_mlp, d)}
        gate = {"gate": (d, self.d_mlp)} if self.gated else {}
        return attention | mlp | gate

    def operations(
        self, tokens: int, pos: int, queries: int | None = None, names: tuple[str, ...] = ()
    ) -> int:
        """Operations of a block on `tokens` tokens in texts of `pos` tokens. Only keys and values
        are computed for all of them, everything else for `queries` tokens (default: all). `names`:
        count these linear maps only.
        """
        queries = tokens if queries is None else queries
        total = 0
        for name, (inputs, outputs) in self.linear_sizes().items():
            if not names or name in names:
                total += 2 * inputs * outputs * (tokens if name in ("k", "v") else queries)
        return total if names else total + 4 * queries * pos * self.q
