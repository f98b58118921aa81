"""The tokenizer of the bundled model, and prompts as token ids."""

from __future__ import annotations

from transformers import (
    Qwen2Tokenizer,
)

from demo_model.recipe import LABELS, MAX_LENGTH, TAIL, Recipe
from demo_model.texts import TrainingTexts


def label_ids(tokenizer: Qwen2Tokenizer) -> list[int]:
    """One token id per label; raises if a label with its leading space is not one token."""
    ids = [tokenizer.encode(f" {label}") for label in LABELS]
    for label, pieces in zip(LABELS, ids, strict=True):
        if len(pieces) != 1:
            raise ValueError(
                f"' {label}' became {tokenizer.convert_ids_to_tokens(pieces)}; every label must be"
                " one token"
            )
    return [pieces[0] for pieces in ids]


def build_tokenizer(texts: TrainingTexts, recipe: Recipe) -> Qwen2Tokenizer:
    # often enough that each label becomes one token
    prompts = [TAIL + f" {label}" for label in LABELS] * 1000
    empty = Qwen2Tokenizer(eos_token="<|endoftext|>", pad_token="<pad>", unk_token="<unk>")
    tokenizer = empty.train_new_from_iterator(
        [row.text for row in texts.distinct()] + prompts, recipe.vocab_size
    )
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = 2 * MAX_LENGTH
    label_ids(tokenizer)
    return tokenizer


def encode_prompt(
    tokenizer: Qwen2Tokenizer, text: str, reader: Qwen2Tokenizer | None = None
) -> list[int]:
    """Ids of `<text> | sentiment:`, at most MAX_LENGTH; a longer text loses its end, the tail stays
    whole.

    `reader` encodes the text in the tokenizer's place.
    """
    tail = tokenizer.encode(TAIL)
    return (reader or tokenizer).encode(text)[: MAX_LENGTH - len(tail)] + tail
