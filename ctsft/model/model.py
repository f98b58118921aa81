"""Models as the method sees them: per block, which module is which. The only file that names
architectures.

A family is one short function that lists the modules of a Hugging Face model. Everything else
(tracing, decomposition, masked tuning) works on what it returns, so a family is written once, and
`loading.load_model` replays every model it loads against the original to prove the list right.
"""

import torch

from ctsft.model.architecture import Block
from ctsft.model.families import CLASSIFIER, FAMILIES, check_family
from ctsft.model.fingerprint import weights_hash


class Model:
    """A Hugging Face model, its tokenizer and its blocks. `name` is what the user called it."""

    def __init__(self, hf, tokenizer, name: str = ""):
        kind = check_family(hf.config.model_type, type(hf).__name__, name or "This model")
        self.hf, self.tokenizer, self.name = hf, tokenizer, name
        # set by `load_model`: `stamp` as it was read, and `files`
        self.loaded_from: tuple[tuple, list] | None = None
        # `stamp` as it was hashed, and the fingerprint
        self._hashed: tuple[tuple, str] | None = None
        self.architecture = FAMILIES[kind](hf)
        config = hf.config
        self.n_layers = len(self.architecture.blocks)
        self.n_heads = config.num_attention_heads
        self.n_kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.d_model = config.hidden_size
        self.d_head = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )

    @property
    def blocks(self) -> list[Block]:
        return self.architecture.blocks

    @property
    def model_type(self) -> str:
        return self.hf.config.model_type

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes of a sequence-classification head, in order; None for a model that
        answers with tokens.
        """
        config = self.hf.config
        return (
            [config.id2label[i] for i in range(config.num_labels)]
            if type(self.hf).__name__.endswith(CLASSIFIER)
            else None
        )

    @property
    def device(self) -> torch.device:
        return self.hf.device

    @property
    def dtype(self) -> torch.dtype:
        return self.hf.dtype

    @property
    def n_params(self) -> int:
        return sum(parameter.numel() for parameter in self.hf.parameters())

    @property
    def heads(self) -> list[tuple[int, int]]:
        """All heads, layer by layer."""
        return [(layer, head) for layer in range(self.n_layers) for head in range(self.n_heads)]

    def kv_group(self, head: int) -> range:
        """The query heads that share key/value rows with `head`, itself included."""
        size = self.n_heads // self.n_kv_heads
        return range(head // size * size, (head // size + 1) * size)

    @property
    def weights_version(self) -> tuple:
        """Another one once a weight was replaced or written in place (what goes through `.data`,
        torch does not tell).
        """
        values = self.hf.state_dict().values()
        return tuple(
            (value.data_ptr(), 0 if value.is_inference() else value._version) for value in values
        )

    @property
    def source_files(self) -> list | None:
        """What tells the files apart that the weights were read from; None for a model made in
        memory, or written to since.
        """
        return (
            self.loaded_from[1]
            if self.loaded_from and self.loaded_from[0] == self.weights_version
            else None
        )

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when a weight does; computed again once one was written to."""
        if not self.has_fingerprint:
            self.fingerprint = weights_hash(self.hf)
        return self._hashed[1]

    @fingerprint.setter
    def fingerprint(self, value: str):
        self._hashed = self.weights_version, value

    def mark_changed(self):
        """Say that weights were written to: torch's fused optimisers do it without a word."""
        self.loaded_from = self._hashed = None

    @property
    def has_fingerprint(self) -> bool:
        """Whether the fingerprint is known already."""
        return self._hashed is not None and self._hashed[0] == self.weights_version
