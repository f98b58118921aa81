"""A Hugging Face model together with the list of its blocks, as the rest of the library uses it.

Recording a pass, decomposition and masked tuning work on what a family function of
`ctsft.model.families` returns, so a family is described once.
"""

import torch

from ctsft.model.architecture import Block
from ctsft.model.families import CLASSIFIER, FAMILIES, POSITIONS_BEHIND_PADDING, check_family
from ctsft.model.fingerprint import weights_hash


class Model:
    """A Hugging Face model, its tokenizer and its blocks. `name` is what the user called it.

    Raises UserError for a family that is not supported.
    """

    def __init__(self, hf, tokenizer, name: str = ""):
        family = check_family(hf.config.model_type, type(hf).__name__, name or "This model")
        config = hf.config
        self.hf = hf
        self.tokenizer = tokenizer
        self.name = name
        self.architecture = FAMILIES[family](hf)
        self.n_layers = len(self.architecture.blocks)
        self.n_heads = config.num_attention_heads
        self.n_kv_heads = getattr(config, "num_key_value_heads", None) or self.n_heads
        self.d_model = config.hidden_size
        # what a reader should know of how it was loaded
        self.notes: list[str] = []
        self.d_head = getattr(config, "head_dim", None) or self.d_model // self.n_heads
        # set by `load_model`: `weights_version` after loading, and `source_files`
        self.loaded_from: tuple[tuple, list] | None = None
        # `weights_version` when the weights were hashed, and the fingerprint
        self._hashed: tuple[tuple, str] | None = None

    @property
    def blocks(self) -> list[Block]:
        return self.architecture.blocks

    @property
    def model_type(self) -> str:
        return self.hf.config.model_type

    @property
    def max_positions(self) -> int | None:
        """The longest text that the model has positions for, in tokens; None without a limit.
        RoBERTa's positions begin behind the number of its padding token.
        """
        limit = getattr(self.hf.config, "max_position_embeddings", None)
        if limit and self.model_type in POSITIONS_BEHIND_PADDING:
            limit -= self.hf.config.pad_token_id + 1
        return limit

    @property
    def vocabulary(self) -> int:
        """How many token ids the model has embeddings for."""
        return self.hf.get_input_embeddings().num_embeddings

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes of a sequence-classification head, in order; None for a model that
        answers with tokens.
        """
        if not type(self.hf).__name__.endswith(CLASSIFIER):
            return None
        config = self.hf.config
        return [config.id2label[number] for number in range(config.num_labels)]

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
        """All heads as (layer, head), layer by layer."""
        return [(layer, head) for layer in range(self.n_layers) for head in range(self.n_heads)]

    def kv_group(self, head: int) -> range:
        """The query heads that share key/value rows with `head`, itself included."""
        size = self.n_heads // self.n_kv_heads
        start = head // size * size
        return range(start, start + size)

    # ---- whether the weights are still those that were loaded or hashed ----

    @property
    def weights_version(self) -> tuple:
        """Changes when a weight is replaced or written in place. Writes through `.data` are not
        seen: torch does not count them.
        """
        values = self.hf.state_dict().values()
        return tuple(
            (value.data_ptr(), 0 if value.is_inference() else value._version) for value in values
        )

    @property
    def source_files(self) -> list | None:
        """Identifies the files that the weights were read from; None for a model that was made in
        memory, or whose weights have changed since.
        """
        if self.loaded_from is None:
            return None
        version, files = self.loaded_from
        return files if version == self.weights_version else None

    def mark_changed(self):
        """Record that weights were written: torch's fused optimisers do not count their writes."""
        self.loaded_from = None
        self._hashed = None

    @property
    def fingerprint(self) -> str:
        """16 hex digits that depend on every weight; computed again after a change."""
        if not self.has_fingerprint:
            self.fingerprint = weights_hash(self.hf)
        return self._hashed[1]

    @fingerprint.setter
    def fingerprint(self, value: str):
        self._hashed = self.weights_version, value

    @property
    def has_fingerprint(self) -> bool:
        """Whether the fingerprint of the current weights is known already."""
        return self._hashed is not None and self._hashed[0] == self.weights_version
