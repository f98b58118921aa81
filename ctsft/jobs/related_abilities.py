"""What a tuning run measures beside its own task: related tasks, and the perplexity of texts.

A related task is a task file or a built-in task with a prompt, labels and languages of its own.
Perplexity is of a text file's lines, or of the source rows' texts (`ctsft.model.perplexity`).
"""

from pathlib import Path

from ctsft.data.registry import TASKS, load_task
from ctsft.data.task import Example, Task
from ctsft.jobs.requests import Tuning
from ctsft.tuning.evaluation_sets import TaskRows, Texts
from ctsft.utils.errors import UserError, quoted

MOST_TEXTS = 400  # lines or rows that a perplexity is of
SOURCE_TEXTS = "source texts"


def split_name(text: str) -> tuple[str, str | None]:
    """The task of "FILE", "FILE:LANGUAGE", "NAME" or "NAME:LANGUAGE", and its language."""
    name, colon, language = text.rpartition(":")
    if text in TASKS or text.endswith(".json") or not colon:
        return text, None
    return name, language


def related_rows(tuning: Tuning, split: str) -> dict[str, TaskRows]:
    """{"topic (english)": rows of the split} of the related tasks. UserError for a task, a language
    or a split that is not there.
    """
    sets = {}
    for text in tuning.related_tasks:
        file, language = split_name(text)
        task = load_task(file)
        language = language or task.source
        if split not in task.splits(language):
            raise UserError(
                f"The related task {quoted(task.name)} has no {split} rows for {language}, which"
                " are measured; add some, or choose other rows with --eval-split and --final-split."
            )
        name = f"{task.name} ({language})"
        if name in sets:
            raise UserError(
                f"Two related tasks are {quoted(name)}; name each once, and give other files other"
                " task names."
            )
        sets[name] = TaskRows(task, task.load(language, split))
    return sets


def texts_of(task: Task, tuning: Tuning, rows: list[Example]) -> dict[str, Texts]:
    """{its name: the texts whose perplexity is measured}; {} for none. rows: of the source, on
    which curves are measured. UserError for a file that cannot be read or has no line of text.
    """
    if not tuning.perplexity:
        return {}
    if tuning.text is None:
        names = task.columns
        joined = [
            " ".join({"text": row.text, **row.fields}[name] for name in names) for row in rows
        ]
        return {SOURCE_TEXTS: Texts(joined[:MOST_TEXTS])}
    path = Path(tuning.text)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"The text file {quoted(tuning.text, 250)} cannot be read ({error}); name a file of"
            " UTF-8 text with --text."
        ) from None
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise UserError(f"The text file {quoted(tuning.text, 250)} is empty; name one with text.")
    return {path.name: Texts(texts[:MOST_TEXTS])}
