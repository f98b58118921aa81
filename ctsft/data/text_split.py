"""A random split of labelled texts into train, validation and test, by text.

Two rows have the same text if their texts are equal after Unicode normalisation (NFKC), case
folding, and with every run of white space as one space. Rows with the same text go to one split
together: otherwise the test would ask what training has shown. Texts that stand in a given split
already go there.
"""

import random
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Rows:
    """The text and the label of each row."""

    texts: list[str]
    labels: list[str]


def normalised(text: str) -> str:
    """A text as it is compared with others."""
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_by_text(
    rows: Rows,
    given: Mapping[str, list[str]] | None = None,
    seed: int = 0,
    shares: Mapping[str, float] = SHARES,
) -> dict[str, list[int]]:
    """{split: the numbers of its rows}, in the file's order; a split that gets none is left out.
    The texts of each label are dealt in an order drawn with the seed, until a split has its share
    of the label's rows. `given`: {split: texts that are in it already}; `shares`: {split: its share
    of the rows}.
    """
    places = {
        normalised(text): split
        for split, texts in reversed((given or {}).items())
        for text in texts
    }
    groups: dict[str, list[int]] = {}  # {text: its rows}
    for row, text in enumerate(map(normalised, rows.texts)):
        groups.setdefault(text, []).append(row)
    names = list(shares)
    dealt: dict[str, list[int]] = {split: [] for split in names}
    free: dict[str, list[list[int]]] = {}  # {label of a text's first row: the rows of each text}
    for text, group in groups.items():
        if text in places:
            dealt[places[text]] += group
        else:
            free.setdefault(rows.labels[group[0]], []).append(group)
    for label, of_label in sorted(free.items()):
        order = random.Random(f"{seed}{label}").sample(of_label, len(of_label))
        total = sum(map(len, order))
        stops = list(accumulate(round(share * total) for share in shares.values()))[:-1]
        start = 0
        for group in order:
            dealt[names[bisect_right(stops, start)]] += group
            start += len(group)
    return {split: sorted(of_split) for split, of_split in dealt.items() if of_split}
