"""The sizes of a model that work and memory depend on, and the bytes and operations that follow
from them.

Bytes are counted moment by moment of a pass: the widest one is what it needs. Attention is taken to
run without a [pos, pos] matrix a head (torch's fused kernels), except under a softcap, and on CUDA
where key/value heads are shared by a group.
"""

from dataclasses import dataclass

import torch

from ctsft.model.model import Model


@dataclass(frozen=True)
class Shape:
    """Sizes; `of` reads them off a model, on the meta device too. Byte counts are for one token,
    operations are multiplications and additions.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    vocab: int  # rows of the head's last matrix
    gated: bool = False
    rotary: bool = False
    biased: int = 0  # width of the widest linear map with a bias
    matrices: bool = False  # attention runs with [pos, pos] matrices
    masks: int = 1  # kinds of masks
    itemsize: int = 4

    @classmethod
    def of(cls, model: Model, device: str | None = None) -> "Shape":
        """`device`: the type of device it is to run on, where that is not the one it is on."""
        block, config, device = model.blocks[0], model.hf.config, device or model.device.type
        maps = [block.q, block.up, block.down, *([block.gate] if block.gate else [])]
        ends = [step for step in model.architecture.head if hasattr(step, "module")]
        softcap = getattr(config, "attn_logit_softcapping", None) is not None
        return cls(
            model.n_layers,
            model.n_heads,
            model.n_kv_heads,
            model.d_head,
            model.d_model,
            d_mlp=block.down.weight.shape[1],
            vocab=len(ends[-1].weight),
            gated=block.gate is not None,
            rotary=getattr(config, "rope_parameters", None) is not None,
            biased=max([0, *(len(part.bias) for part in maps if part.bias is not None)]),
            matrices=softcap or (device == "cuda" and model.n_kv_heads < model.n_heads),
            masks=1 + (getattr(config, "sliding_window", None) is not None),
            itemsize=torch.finfo(model.dtype).bits // 8,
        )

    @property
    def q(self) -> int:  # width of the queries
        return self.n_heads * self.d_head

    @property
    def kv(self) -> int:
        return self.n_kv_heads * self.d_head

    @property
    def widest(self) -> int:
        return max(self.d_mlp, self.q, self.d_model)

    # ---- bytes -------------------------------------------------------------

    def logits(self, pos: int) -> int:
        """Numbers of one attention where it keeps them."""
        return 4 * self.n_heads * pos + 2 * self.q if self.matrices else 0

    def mask(self, pos: int) -> int:
        return self.masks * pos * (self.itemsize + 2)

    def stream(self, pos: int, symmetric: bool = False) -> int:
        """A token of rel in flight: the buffers that stay, and the widest moment of a block."""
        stay = 2 * self.d_mlp + 2 * max(self.biased, 0 if self.gated else self.d_model)
        source = 2 * self.d_head + self.d_model * (2 + self.d_head / pos)
        attention = (
            2 * (self.d_model + self.q + self.kv)
            + (self.q + self.kv if self.rotary else 0)
            + self.logits(pos)
        )
        mlp = 4 * self.d_model + self.q
        more = 3 * max(self.d_model, self.d_mlp) if symmetric else 0
        return int((stay + max(source, attention, mlp) + more) * self.itemsize)

    def traced(self, pos: int) -> int:
        """A token of the recorded pass: residual streams and masks."""
        return (self.n_layers + 1) * self.d_model * self.itemsize + self.mask(pos)

    def totals(self) -> int:
        """A token of one block's totals."""
        return (
            5 * self.d_model + 2 * self.q + 2 * self.kv + (3 if self.gated else 2) * self.d_mlp
        ) * self.itemsize

    def forward(self, pos: int) -> int:
        """A token of a plain forward pass, masks and the readout's logits included."""
        attention = (
            4 * self.d_model + (4 if self.rotary else 2) * (self.q + self.kv) + self.logits(pos)
        )
        mlp = 3 * self.d_model + (3 if self.gated else 4) * self.d_mlp
        return (
            max(attention, mlp) * self.itemsize
            + self.mask(pos)
            + 2 * self.vocab * self.itemsize // pos
        )

    def backward(self, pos: int, path: bool = False) -> int:
        """A token of a forward pass that keeps what its backward pass needs. `path`: heads' outputs
        are moved on the way (ig).
        """
        block = (
            (6 if self.rotary else 4) * self.d_model
            + (7 if path else 3) * self.q
            + 3 * self.kv
            + self.logits(pos)
        )
        return self.n_layers * (
            block + (4 if self.gated else 5) * self.d_mlp
        ) * self.itemsize + self.forward(pos)

    # ---- operations --------------------------------------------------------

    def maps(self) -> dict[str, tuple[int, int]]:
        """{linear map: (in, out)} of a block."""
        d, mlp = (
            self.d_model,
            {
                "up": (self.d_model, self.d_mlp),
                "down": (self.d_mlp, self.d_model),
            },
        )
        return {"q": (d, self.q), "k": (d, self.kv), "v": (d, self.kv), "o": (self.q, d), **mlp} | (
            {"gate": mlp["up"]} if self.gated else {}
        )

    def operations(
        self, tokens: int, pos: int, queries: int | None = None, names: tuple[str, ...] = ()
    ) -> int:
        """Of a block on `tokens` tokens in texts of `pos`; q, o, MLP and attention on `queries` of
        them (all). `names`: these maps only.
        """
        queries = tokens if queries is None else queries
        maps = {name: size for name, size in self.maps().items() if not names or name in names}
        linear = sum(
            2 * a * b * (tokens if name in ("k", "v") else queries) for name, (a, b) in maps.items()
        )
        return linear + (0 if names else 4 * queries * pos * self.q)
