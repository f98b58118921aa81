"""Tasks: a prompt that ends just before the label, and labels that are one token each (CT-SFT,
arXiv 2601.08146, section 3).

A labelled text becomes token ids; the model's answer is the label token with the highest logit at
the readout, the last prompt token. `ctsft.data.registry` holds the built-in tasks, and
`ctsft.data.task_file` reads those of a user.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from ctsft.data.cells import texts
from ctsft.data.labels import label_classes, label_token
from ctsft.data.placeholders import LABEL, placeholders
from ctsft.data.prompt_tokens import appended_tokens, check_embedded, longest_prompt
from ctsft.data.sources import SPLITS, Files, Hub
from ctsft.utils.errors import UserError, cut, quoted

MAX_LENGTH = 128  # tokens of a prompt

# rows of pool A and of pool B; A's share of the rows where there are fewer
POOL_A, POOL_B, POOL_A_SHARE = 400, 100, 0.8


@dataclass(frozen=True)
class Example:
    """One labelled text. `fields`: {column that the prompt names: its text}."""

    id: str
    text: str
    label: str
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Task:
    """A prompt, labels, languages, and where the rows are."""

    name: str
    prompt: str  # "{text} | sentiment:"
    labels: tuple[str, ...]
    source: str  # the source language
    targets: tuple[str, ...]  # the target languages
    rows: Files | Hub = field(hash=False)
    # {label in the file: label of the task}
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    max_length: int = MAX_LENGTH  # tokens of a prompt, special tokens included
    leave_out: tuple[str, ...] = ()  # labels in the file whose rows are not read

    def __post_init__(self):
        placeholders(self.prompt)  # a wrong prompt is refused before any row is read

    @property
    def languages(self) -> tuple[str, ...]:
        return (self.source, *self.targets)

    @property
    def columns(self) -> list[str]:
        """The names in the prompt's braces, in order."""
        return placeholders(self.prompt)

    def splits(self, language: str) -> list[str]:
        """The splits that a language has rows for. UserError for a language the task lacks."""
        return self.rows.splits(self._check_language(language))

    def load(self, language: str, split: str, limit: int | None = None) -> list[Example]:
        """The rows of one language and split ("train", "valid", "test"), at most `limit`, without
        those of the labels in `leave_out`. Rows are numbered where they have no id, or where ids
        repeat.

        UserError says what is missing, and names the row whose text, label or id is not text.
        """
        if split not in SPLITS:
            raise UserError(f"{quoted(split)} is not a split; choose from {', '.join(SPLITS)}.")
        frame = self.rows.read(self._check_language(language), split)
        where = f"The {split} rows of {language}"
        missing = [name for name in (*self.columns, LABEL) if name not in frame.columns]
        if missing:
            raise UserError(
                f"{where} have no column {quoted(missing[0])}; their columns are"
                f" {cut(', '.join(map(str, frame.columns)), 200)}: rename one, or name it in the"
                " task's prompt."
            )
        examples = self._examples(frame, where)
        unknown = sorted({row.label for row in examples} - set(self.labels))
        if unknown:
            raise UserError(
                f"{where} hold the label {quoted(unknown[0])}; task {quoted(self.name)} knows"
                f" {cut(', '.join(self.labels), 200)}: correct the file, add the label to the"
                " task, or leave its rows out (leave_out)."
            )
        if not examples:
            raise UserError(f"{where} all have a label that is left out; leave out fewer labels.")
        return examples[:limit]

    def pools(self, rows: list[Example], seed: int = 0) -> tuple[list[Example], list[Example]]:
        """Pool A (competence tuning, means, discovery) and pool B (never seen by discovery): 400
        and 100 rows, or 80 % and 20 % of fewer.
        """
        rows = random.Random(seed).sample(rows, len(rows))
        size = min(POOL_A, round(len(rows) * POOL_A_SHARE))
        return rows[:size], rows[size : size + POOL_B]

    def text(self, example: Example, characters: int | None = None) -> str:
        """The prompt of an example, every column cut to that many characters."""
        values = {"text": example.text, **example.fields}
        try:
            return self.prompt.format_map(
                {name: values[name][:characters] for name in self.columns}
            )
        except KeyError as error:
            raise UserError(
                f"The prompt of task {self.name!r} names the column {error}, which example"
                f" {example.id!r} lacks; add it to the file, or change the prompt."
            ) from None

    def encode(self, model, example: Example) -> list[int]:
        """Prompt token ids, at most `max_length` and the model's positions. The tokenizer's own
        special tokens are included, except those behind the prompt of a model that answers with
        label tokens. Of a longer prompt the columns are cut, never the end of the prompt.

        UserError when the prompt without its columns is too long, or for a token that the model has
        no embedding for.
        """
        limit, appended = longest_prompt(model, self.max_length), len(appended_tokens(model))

        def encode(characters=None):
            ids = model.tokenizer(self.text(example, characters))["input_ids"]
            return ids[: len(ids) - appended]

        ids = self._cut(encode, example, limit)
        check_embedded(model, ids, f"The prompt of example {quoted(example.id)}")
        return ids

    def _cut(self, encode: Callable, example: Example, limit: int) -> list[int]:
        """`encode(characters)` with as many characters of each column as `limit` tokens allow."""
        ids = encode()
        if len(ids) <= limit:
            return ids
        # search for the largest number of characters that fits
        values = {"text": example.text, **example.fields}.values()
        low, high = 0, max(map(len, values))
        while low < high:
            middle = (low + high + 1) // 2
            if len(encode(middle)) <= limit:
                low = middle
            else:
                high = middle - 1
        ids = encode(low)
        if len(ids) > limit:
            raise UserError(
                f"The prompt of task {self.name!r} alone takes {len(ids)} tokens of the {limit}"
                " allowed; shorten it."
            )
        return ids

    def label_ids(self, model) -> dict[str, int]:
        """{label: token id} in the task's order, or {label: number of its class} for a model with a
        sequence-classification head.

        UserError names the tokens of a label that is not one token, a token without an embedding,
        two labels that share a token, or the classes if they are not the labels.
        """
        if classes := getattr(model, "classes", None):
            return label_classes(classes, self.labels)
        ids = {label: label_token(model.tokenizer, label) for label in self.labels}
        for label, token in ids.items():
            check_embedded(model, [token], f"The label {quoted(label)}")
        same = [label for label in ids if list(ids.values()).count(ids[label]) > 1]
        if same:
            raise UserError(
                f"The labels {' and '.join(map(repr, same))} become the same token; choose words"
                " that the tokenizer tells apart."
            )
        return ids

    def _check_language(self, language: str) -> str:
        if language not in self.languages:
            raise UserError(
                f"Task {quoted(self.name)} has no language {quoted(language)}; choose from"
                f" {', '.join(self.languages)}."
            )
        return language

    def _examples(self, frame: pd.DataFrame, where: str) -> list[Example]:
        """The rows of a table that are not left out; `where` begins an error's sentence."""

        labels = texts(frame, LABEL, where)
        numbers = [row for row, label in enumerate(labels) if label not in self.leave_out]
        fields = {name: texts(frame, name, where, numbers) for name in self.columns}
        ids = texts(frame, "id", where, numbers) if "id" in frame.columns else []
        if len(set(ids)) < len(numbers):
            ids = [str(row) for row in numbers]
        examples = []
        for row, id, *values in zip(numbers, ids, *fields.values(), strict=True):
            if not any(value.strip() for value in values):
                raise UserError(
                    f"{where}: row {row + 1} has no text (its column {quoted(self.columns[0])} is"
                    " empty); write its text, or remove the row."
                )
            named = dict(zip(fields, values, strict=True))
            text = named.get("text", " ".join(values))
            label = self.rename.get(labels[row], labels[row])
            examples.append(Example(id, text, label, named))
        return examples


def balanced_sample(
    rows: list[Example], n: int, labels: tuple[str, ...], seed: int = 0
) -> list[Example]:
    """`n` rows drawn with a seed, equal numbers per label as near as the rows allow. UserError when
    there are fewer.
    """
    if n > len(rows):
        raise UserError(
            f"{n} examples were requested, and there are {len(rows)}; choose at most {len(rows)}."
        )
    order = random.Random(seed).sample(rows, len(rows))
    round_of = {}  # {id(row): its place among the rows of its label}
    for label in labels:
        for place, row in enumerate(row for row in order if row.label == label):
            round_of[id(row)] = place
    # the first row of every label, then the second of every label, ...
    return sorted(order, key=lambda row: round_of[id(row)])[:n]


def rows_hash(rows: list[Example]) -> str:
    """16 hex digits that change with any id, text, label, or the order of rows."""
    text = json.dumps([[row.id, row.text, row.label] for row in rows], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
