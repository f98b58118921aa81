"""A built-in task with another prompt or other label words, as a task file of the user's own.

The task file refers to the rows of the built-in task (`data`), so a request that names the file can
be repeated, wherever the rows are read from.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ctsft.data.placeholders import LABEL, placeholders
from ctsft.data.task import Task
from ctsft.data.task_file import new_folders
from ctsft.utils.atomic_files import atomic_path, private_folder
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.file_names import slug


def edited_task(task: Task, prompt: str, words: Mapping[str, str]) -> Task:
    """The task with another prompt and other label words. `words`: {label: its new word}.

    UserError for a prompt that names the label, no column, or a column that the rows lack, and for
    words that are empty or the same.
    """
    named = placeholders(prompt)
    if LABEL in named:
        raise UserError(
            f"The prompt names {quoted(LABEL)}, the label itself, which the model is to answer;"
            " remove it from the prompt."
        )
    unknown = [name for name in named if name not in task.columns]
    if unknown:
        raise UserError(
            f"The prompt names the column {quoted(unknown[0])}, which the rows of"
            f" {quoted(task.name)} lack; its columns are {', '.join(task.columns)}."
        )
    labels = tuple(words.get(label, label).strip() for label in task.labels)
    if not all(labels) or len(set(labels)) < len(labels):
        raise UserError(
            f"The label words are {quoted(list(labels))}; each label needs one of its own, none"
            " of them empty."
        )
    word_of = dict(zip(task.labels, labels, strict=True))
    rename = word_of | {value: word_of[label] for value, label in task.rename.items()}
    return replace(task, prompt=prompt, labels=labels, rename=rename)


def write_edited(edited: Task, built_in: str, name: str, folder: Path) -> Path:
    """Write a task of `edited_task` into a new folder below `folder`; the task file's path.

    `built_in`: the task whose rows it uses; `name`: of the new task.
    """
    private_folder(folder)
    entries = {
        "name": name,
        "prompt": edited.prompt,
        "labels": list(edited.labels),
        "source": edited.source,
        "targets": list(edited.targets),
        "data": built_in,
        "rename": {value: label for value, label in edited.rename.items() if value != label},
        "max_length": edited.max_length,
    }
    text = json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
    for task_folder in new_folders(folder, slug(name, "task")):
        # another session may take the same name at the same time
        with suppress(FileExistsError), atomic_path(task_folder, "the task", new=True) as part:
            part.mkdir(parents=True, exist_ok=True)
            (part / "task.json").write_text(text, encoding="utf-8")
            break
    return task_folder / "task.json"
