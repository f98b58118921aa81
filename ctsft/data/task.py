"""Tasks: a prompt that ends just before the label, and labels that are one token each (METHOD:
CT-SFT, arXiv 2601.08146, section 3).

A labelled text becomes token ids; the model's answer is the label token with the highest logit at
the readout, the last prompt token. The tasks themselves are entries of a table at the end of this
file, or a JSON file of the user's.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from ctsft.data.sources import SPLITS, Files, Hub
from ctsft.utils.errors import UserError

MAX_LENGTH = 128


@dataclass(frozen=True)
class Example:
    """One labelled text. `fields` holds the columns a prompt names when there is more than
    `text`.
    """

    id: str
    text: str
    label: str
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Task:
    """Prompt, labels, languages and where the rows are."""

    name: str
    prompt: str  # "{text} | sentiment:"
    labels: tuple[str, ...]
    source: str
    targets: tuple[str, ...]
    rows: Files | Hub = field(hash=False)
    # label in the file -> label of the task
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    max_length: int = MAX_LENGTH  # tokens, special tokens included

    @property
    def languages(self) -> tuple[str, ...]:
        return (self.source, *self.targets)

    @property
    def columns(self) -> list[str]:
        """The names in the prompt's braces, in order."""
        return placeholders(self.prompt)

    def splits(self, language: str) -> list[str]:
        return self.rows.splits(self._known(language))

    def load(self, language: str, split: str, limit: int | None = None) -> list[Example]:
        """The rows of one language and split (`train`, `valid`, `test`); UserError says what is
        missing.
        """
        if split not in SPLITS:
            raise UserError(f"{split!r} is not a split; choose from {', '.join(SPLITS)}.")
        frame = self.rows.read(self._known(language), split)
        missing = [name for name in (*self.columns, "label") if name not in frame.columns]
        if missing:
            raise UserError(
                f"The {split} rows of {language} have no column {missing[0]!r}; their columns are"
                f" {', '.join(map(str, frame.columns))}: rename one, or name it in the task's"
                " prompt."
            )
        examples = [self._example(index, row) for index, row in enumerate(frame.to_dict("records"))]
        unknown = sorted({row.label for row in examples} - set(self.labels))
        if unknown:
            raise UserError(
                f"The {split} rows of {language} hold the label {unknown[0]!r}; task {self.name!r}"
                f" knows {', '.join(self.labels)}: correct the file, or add the label to the task."
            )
        return examples[:limit]

    def pools(self, rows: list[Example], seed: int = 0) -> tuple[list[Example], list[Example]]:
        """Pool A (competence, means, discovery) and pool B (never seen by discovery): 400 and 100,
        or 80 % and 20 % of fewer.
        """
        rows = random.Random(seed).sample(rows, len(rows))
        size = min(400, round(len(rows) * 0.8))
        return rows[:size], rows[size : size + 100]

    def text(self, example: Example, keep: int | None = None) -> str:
        """The prompt; `keep` cuts every column to that many characters."""
        values = {"text": example.text, **example.fields}
        try:
            return self.prompt.format_map({name: values[name][:keep] for name in self.columns})
        except KeyError as error:
            raise UserError(
                f"The prompt of task {self.name!r} names the column {error}, which example"
                f" {example.id!r} lacks; give it in the file, or change the prompt."
            ) from None

    def encode(self, model, example: Example) -> list[int]:
        """Prompt token ids, the tokenizer's own special tokens included, at most `max_length`: a
        longer text is cut, never the tail.
        """

        def ids(keep=None):
            return model.tokenizer(self.text(example, keep))["input_ids"]

        whole = ids()
        if len(whole) <= self.max_length:
            return whole
        low, high = (
            0,
            max(len(value) for value in {"text": example.text, **example.fields}.values()),
        )
        while low < high:
            # the largest number of characters that fits
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(ids(middle)) <= self.max_length else (low, middle - 1)
        cut = ids(low)
        if len(cut) > self.max_length:
            raise UserError(
                f"The prompt of task {self.name!r} alone takes {len(cut)} tokens of the"
                f" {self.max_length} allowed; shorten it."
            )
        return cut

    def label_ids(self, model) -> dict[str, int]:
        """{label: token id} in the task's order, or {label: class} where the model has a
        sequence-classification head.

        UserError names the tokens of a label that is not one token, or the classes where they are
        not the labels.
        """
        if classes := getattr(model, "classes", None):
            return label_classes(classes, self.labels)
        found = {label: label_token(model.tokenizer, label) for label in self.labels}
        same = [label for label in found if list(found.values()).count(found[label]) > 1]
        if same:
            raise UserError(
                f"The labels {' and '.join(map(repr, same))} become the same token; choose words"
                " that the tokenizer tells apart."
            )
        return found

    def _known(self, language: str) -> str:
        if language not in self.languages:
            raise UserError(
                f"Task {self.name!r} has no language {language!r}; choose from"
                f" {', '.join(self.languages)}."
            )
        return language

    def _example(self, index: int, row: dict) -> Example:
        label = str(row["label"])
        fields = {name: str(row[name]) for name in self.columns}
        return Example(
            id=str(row.get("id", index)),
            text=fields.get("text", " ".join(fields.values())),
            label=self.rename.get(label, label),
            fields=fields,
        )


def placeholders(prompt: str) -> list[str]:
    """Names in the braces of a prompt; UserError when there is none or the braces do not close."""
    from string import Formatter

    try:
        names = [name for _, name, _, _ in Formatter().parse(prompt) if name is not None]
    except ValueError as error:
        raise UserError(
            f"The prompt {prompt!r} cannot be read ({error}); write columns as {{text}}."
        ) from None
    if not names or not all(name.isidentifier() for name in names):
        raise UserError(
            f"The prompt {prompt!r} names no column; write at least one, such as {{text}}, in"
            " braces."
        )
    return names


def label_token(tokenizer, label: str) -> int:
    """The id of the one token that a label with a leading space becomes.

    A tokenizer that puts a space of its own in front of every text (SentencePiece) turns " good"
    into two; there the label alone, which then begins with that space, is the same token.
    """
    ids = tokenizer(" " + label, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        alone = tokenizer(label, add_special_tokens=False)["input_ids"]
        if len(alone) == 1 and tokenizer.convert_ids_to_tokens(alone)[0].startswith("▁"):
            ids = alone
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        tokens = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids)))
        raise UserError(
            f"The label {label!r} becomes {len(ids)} token(s) that cannot stand for it ({tokens}),"
            " and a label has to be ONE known token; choose another word for it."
        )
    return ids[0]


def label_classes(classes: list[str], labels: tuple[str, ...]) -> dict[str, int]:
    """The class of each label: by name, or in order where the classes were never named
    ("LABEL_0").
    """
    names = [name.strip().lower() for name in classes]
    if all(name == f"label_{i}" for i, name in enumerate(names)) and len(names) == len(labels):
        return {label: i for i, label in enumerate(labels)}
    missing = [label for label in labels if label.lower() not in names]
    if missing:
        raise UserError(
            f"The model's classes are {', '.join(map(repr, classes))}, and the task's label"
            f" {missing[0]!r} is none of them; "
            f'name the labels as the classes ("rename" in a task file), or take a model that was'
            f" trained on these labels."
        )
    return {label: names.index(label.lower()) for label in labels}


def balanced_sample(
    rows: list[Example], n: int, labels: tuple[str, ...], seed: int = 0
) -> list[Example]:
    """`n` rows drawn with a seed, equal numbers per label as near as the rows allow. UserError when
    there are fewer.
    """
    if n > len(rows):
        raise UserError(
            f"{n} examples were asked for, and there are {len(rows)}; ask for at most {len(rows)}."
        )
    order = random.Random(seed).sample(rows, len(rows))
    turn = {
        id(row): i for label in labels for i, row in enumerate(r for r in order if r.label == label)
    }
    # the first of every label, then the second of every label ...
    return sorted(order, key=lambda row: turn[id(row)])[:n]


def rows_hash(rows: list[Example]) -> str:
    """16 hex digits that change with any text or label."""
    words = json.dumps([[row.id, row.text, row.label] for row in rows], ensure_ascii=False)
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()
