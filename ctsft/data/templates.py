"""Templates of a task: other prompts and label words for the same rows, read from a JSON list.

    [{"name": "tail", "prompt": "{text} | sentiment:"},
     {"prompt": "{text} It was", "labels": {"negative": "bad", "positive": "good"}}, ...]

Without a prompt, or for a label that is not named, those of the task are used.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ctsft.data.edited_task import edited_task
from ctsft.data.task import Task
from ctsft.data.task_file import Label, Name, Text
from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.json_files import checked, read_json_file

FEWEST = 3  # templates
MOST = 50
ADVICE = (
    'write a list of objects such as {"name": "tail", "prompt": "{text} It was", "labels":'
    ' {"positive": "good"}}'
)


@dataclass(frozen=True)
class Template:
    """A prompt and label words, {label of the task: word}; None and {}: the task's own."""

    name: str
    prompt: str | None = None
    words: dict[str, str] = field(default_factory=dict)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name | None = None
    prompt: Text | None = None
    labels: dict[Name, Label] = Field(default_factory=dict)


class _Entries(RootModel):
    root: list[_Entry]


def read_templates(path: str | Path) -> tuple[Template, ...]:
    """The templates of a file. UserError, one sentence, for a file that cannot be read, one that is
    no such list, fewer than three templates, and two of one name or that are the same.
    """
    what = "The templates file"
    content = read_json_file(Path(path), what, "check the path")
    entries = checked(content, _Entries, f"{what} {cut(path, 200)}", ADVICE).root
    if not FEWEST <= len(entries) <= MOST:
        raise UserError(
            f"{what} {cut(path, 200)} holds {len(entries)} templates; write {FEWEST} to {MOST}, so"
            " that there is something to compare."
        )
    templates = tuple(
        Template(one.name or one.prompt or f"template {number}", one.prompt, dict(one.labels))
        for number, one in enumerate(entries, 1)
    )
    double = most_common(one.name for one in templates)
    if double:
        raise UserError(
            f"{what} {cut(path, 200)} has two templates of the name {quoted(double)}; give each a"
            " name of its own."
        )
    return templates


def most_common(names) -> str | None:
    """A name that stands there twice."""
    name, count = Counter(names).most_common(1)[0]
    return name if count > 1 else None


def template_tasks(task: Task, templates: tuple[Template, ...]) -> dict[str, Task]:
    """{name of a template: the task with its prompt and words}. UserError that names the template
    whose prompt or words cannot be used, or that is the same as another.
    """
    tasks: dict[str, Task] = {}
    for one in templates:
        unknown = sorted(one.words.keys() - set(task.labels))
        if unknown:
            raise UserError(
                f"Template {quoted(one.name)} has a word for the label {quoted(unknown[0])}, which"
                f" task {quoted(task.name)} lacks; its labels are {', '.join(task.labels)}."
            )
        try:
            edited = edited_task(task, one.prompt or task.prompt, one.words)
        except UserError as error:
            raise UserError(f"Template {quoted(one.name)}: {error}") from None
        same = next(
            (
                name
                for name, other in tasks.items()
                if (other.prompt, other.labels) == (edited.prompt, edited.labels)
            ),
            None,
        )
        if same:
            raise UserError(
                f"Templates {quoted(same)} and {quoted(one.name)} have the same prompt and label"
                " words; change or remove one."
            )
        tasks[one.name] = edited
    return tasks
