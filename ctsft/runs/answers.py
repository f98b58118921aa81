"""Which rows a tuning run answered right before and after, so that two models are compared on the
same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ctsft.runs.folder import Run, file_stamp, is_settled
from ctsft.runs.results import result


@dataclass(frozen=True)
class Answers:
    """Of one language. hash: of the rows, equal only for the same rows in the same order. ids: of
    the rows. before, after: a text with "1" for each row answered right, "0" for each other.
    """

    split: str
    hash: str
    ids: tuple[str, ...]
    before: str
    after: str


def answers_of(run: Run) -> dict[str, Answers]:
    """{language: its answers} of the figures before and after tuning; without the languages whose
    answers were not stored.
    """
    stamped = file_stamp(run.file("result.json"))
    read = _answers if is_settled(stamped) else _answers.__wrapped__
    return read(run.path, stamped)


@lru_cache(maxsize=2_000)
def _answers(path: Path, stamped: tuple | None) -> dict[str, Answers]:
    return read_answers(result(Run(path)))


def read_answers(summary: Mapping) -> dict[str, Answers]:
    """`answers_of`, from the summary of a run."""
    answered, (before, after) = summary.get("answered"), ends(summary)
    answers = {}
    for language, rows in (answered or {"rows": {}})["rows"].items():
        texts = [end.get(language, {}).get("right", "") for end in (before, after)]
        if [len(text) for text in texts] == [len(rows["ids"])] * 2 and rows["ids"]:
            ids = tuple(rows["ids"])
            answers[language] = Answers(answered["split"], rows["hash"], ids, *texts)
    return answers


def ends(summary: Mapping) -> tuple[dict, dict]:
    """{language: metrics} before and after tuning: of the final figure, or the first and the last
    evaluation.
    """
    final, history = summary.get("final"), summary.get("history")
    if final:
        return final["before"], final["after"]
    if not history:
        return {}, {}
    return history[0].get("metrics") or {}, history[-1].get("metrics") or {}
