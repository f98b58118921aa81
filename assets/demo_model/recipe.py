"""What was chosen for the bundled model, and what it is asked: labels, languages, lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LABELS = ("negative", "neutral", "positive")
TAIL = " | sentiment:"
SOURCE = "indonesian"
LANGUAGES = (
    "indonesian",
    "acehnese",
    "balinese",
    "buginese",
    "english",
    "javanese",
    "minangkabau",
    "sundanese",
)
HERE = Path(__file__).resolve().parents[1]  # the folder assets
MAX_LENGTH = 128  # tokens of a prompt


@dataclass(frozen=True)
class Recipe:
    """Everything that was chosen; of two recipes the better one on NusaX Indonesian valid."""

    vocab_size: int = 4000
    width: int = 192
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    mlp: int = 512
    # share of BPE merges skipped in training texts (arXiv 1910.13267)
    merge_dropout: float = 0.1
    token_dropout: float = 0.1  # share of a training text's tokens replaced by <unk>
    lm_weight: float = 1.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.05
    batch_size: int = 32
    nusax_copies: int = 3  # how often a NusaX Indonesian row appears in an epoch
    # probability that a head is dropped from a training row: this in layer 0, falling evenly to 0
    # in the last layer
    head_dropout: float = 0.0
    # share of training batches in which the prompt's tail cannot see the text in the layers below
    # `late_layers`, so that the label has to be read above them
    late_share: float = 0.0
    late_layers: int = 3
