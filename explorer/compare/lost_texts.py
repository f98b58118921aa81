"""The texts that were right before tuning and are wrong after it, and which of several ways of
tuning lost them; no streamlit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ctsft.data.task import Example, rows_hash
from ctsft.runs.answers import Answers
from ctsft.utils.csv_text import csv_text
from explorer.compare.forgotten import lost_texts
from explorer.text.outcomes import AnswersOf

LOST, RIGHT = "✗", "✓"
# which texts are listed -> what the page calls it
WHICH = {"any": "lost by any", "all": "lost by all", "one": "lost by one only"}


@dataclass(frozen=True)
class LostText:
    """`lost`: for each way, the number of its seeds that lost the text."""

    id: str
    text: str
    label: str
    lost: tuple[int, ...]


@dataclass(frozen=True)
class LostTexts:
    """Of one language. ways: {name: number of its seeds}; texts: lost by any of them, those of the
    most ways first; readable: whether the texts themselves are at hand.
    """

    language: str
    split: str
    ways: dict[str, int]
    texts: tuple[LostText, ...]
    readable: bool


def compare_lost(
    groups: Mapping[str, Sequence[Mapping]],
    side: str,
    answers: AnswersOf,
    examples: Callable[[Mapping, Answers], Iterable[Example]],
) -> LostTexts | None:
    """groups: {name: the rows of its runs}; side: "source" or "target"; examples: the task's rows
    of a run and its answers. Ways whose runs were not all measured on the rows of the first are
    left out; None where no run stored answers.
    """
    of_way = {
        name: [(row, answers(row["run"]).get(row[side])) for row in rows]
        for name, rows in groups.items()
    }
    of_way = {name: some for name, some in of_way.items() if all(one for _, one in some)}
    if not of_way:
        return None
    row, first = next(iter(of_way.values()))[0]
    same = {
        name: [lost_texts(one) for _, one in some]
        for name, some in of_way.items()
        if all(one.hash == first.hash for _, one in some)
    }
    known = same_rows(examples(row, first), first)
    lost = []
    for place, row_id in enumerate(first.ids):
        counts = tuple(sum(place in seed for seed in seeds) for seeds in same.values())
        if any(counts):
            example = known.get(row_id)
            text, label = (example.text, example.label) if example else ("", "")
            lost.append(LostText(row_id, text, label, counts))
    ways = {name: len(seeds) for name, seeds in same.items()}
    lost.sort(key=lambda one: (-sum(lost_by(one, ways)), -sum(one.lost)))
    return LostTexts(row[side], first.split, ways, tuple(lost), bool(known))


def same_rows(examples: Iterable[Example], answered: Answers) -> dict[str, Example]:
    """{id: example} of the rows that were answered; {} where they are missing or have changed."""
    by_id = {example.id: example for example in examples}
    if not set(answered.ids) <= by_id.keys():
        return {}
    rows = [by_id[row_id] for row_id in answered.ids]
    return by_id if rows_hash(rows) == answered.hash else {}


def lost_by(text: LostText, ways: Mapping[str, int]) -> list[bool]:
    """For each way whether most of its seeds lost the text."""
    return [2 * count > seeds for count, seeds in zip(text.lost, ways.values(), strict=True)]


def chosen(of: LostTexts, which: str) -> list[LostText]:
    """The texts lost by any way, by all ways, or by one only, in most of its seeds."""
    if which == "any":
        return list(of.texts)
    wanted = len(of.ways) if which == "all" else 1
    return [one for one in of.texts if sum(lost_by(one, of.ways)) == wanted]


def mark(lost: int, seeds: int) -> str:
    if seeds == 1:
        return LOST if lost else RIGHT
    return f"{LOST} {lost} of {seeds}" if lost else RIGHT


def table(of: LostTexts, texts: Iterable[LostText]) -> list[dict[str, str]]:
    """A line for each text: the text (its id where it is not at hand), label, a mark for each
    way.
    """
    return [
        {
            "text": one.text if of.readable else one.id,
            "label": one.label,
            **{
                name: mark(lost, seeds)
                for (name, seeds), lost in zip(of.ways.items(), one.lost, strict=True)
            },
        }
        for one in texts
    ]


def csv(of: LostTexts, texts: Iterable[LostText]) -> str:
    """For spreadsheets: for each way the number of its seeds that lost the text."""
    columns = {name: f"lost by {name} (of {seeds})" for name, seeds in of.ways.items()}
    lines = [
        {"id": one.id, "label": one.label, "text": one.text}
        | dict(zip(columns.values(), one.lost, strict=True))
        for one in texts
    ]
    return csv_text(["id", "label", "text", *columns.values()], lines)
