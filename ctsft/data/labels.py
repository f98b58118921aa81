"""The labels of a task as a model answers them: one token each, or a class each."""

from collections.abc import Iterable
from dataclasses import dataclass

from ctsft.data.token_text import readable_tokens
from ctsft.utils.errors import UserError, cut, quoted

# SentencePiece writes a space as this character
SENTENCEPIECE_SPACE = "▁"


@dataclass(frozen=True)
class LabelTokens:
    """A label as the model would have to answer it: its tokens as readable text, and whether it is
    a `single` known token.
    """

    label: str
    pieces: list[str]
    single: bool


def label_token(tokenizer, label: str) -> int:
    """The id of the one token that a label with a leading space becomes.

    A tokenizer that puts a space before every text (SentencePiece) turns " good" into two tokens.
    There the label without its space is that token.

    UserError names the tokens of a label that is not one known token.
    """
    ids = tokenizer(" " + label, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        alone = tokenizer(label, add_special_tokens=False)["input_ids"]
        first = tokenizer.convert_ids_to_tokens(alone)[:1]
        if len(alone) == 1 and first[0].startswith(SENTENCEPIECE_SPACE):
            ids = alone
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        tokens = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids)))
        raise UserError(
            f"The label {quoted(label)} becomes {len(ids)} token(s) that cannot stand for it"
            f" ({cut(tokens, 160)}), and a label must be ONE known token; choose another word for"
            " it."
        )
    return ids[0]


def label_tokens(tokenizer, labels: Iterable[str]) -> list[LabelTokens]:
    """The tokens of each label, whether the model can answer with it or not."""
    tokens = []
    for label in labels:
        try:
            ids, single = [label_token(tokenizer, label)], True
        except UserError:
            ids, single = tokenizer(" " + label, add_special_tokens=False)["input_ids"], False
        tokens.append(LabelTokens(label, readable_tokens(tokenizer, ids), single))
    return tokens


def label_classes(classes: list[str], labels: tuple[str, ...]) -> dict[str, int]:
    """{label: number of its class}: by name, or in order if the classes have no names ("LABEL_0").

    Raises UserError for a label that is not one of the classes.
    """
    names = [name.strip().lower() for name in classes]
    unnamed = all(name == f"label_{number}" for number, name in enumerate(names))
    if unnamed and len(names) == len(labels):
        return {label: number for number, label in enumerate(labels)}
    missing = [label for label in labels if label.lower() not in names]
    if missing:
        raise UserError(
            f"The model's classes are {', '.join(map(repr, classes))}, and the task's label"
            f" {missing[0]!r} is none of them; name the labels like the classes"
            ' ("rename" in a task file), or choose a model that was trained on these labels.'
        )
    return {label: names.index(label.lower()) for label in labels}
