"""Tasks in files: read a task file (JSON), and write a task with its rows as a folder.

The keys of a task file are described in the documentation of models and data. Its file pattern is
relative to the task file itself.
"""

import json
from pathlib import Path

from ctsft.data.sources import Files, Hub
from ctsft.data.task import MAX_LENGTH, Task, placeholders
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug

REQUIRED_KEYS = ("name", "prompt", "labels", "source")
FILES = "{language}/{split}.csv"  # where `write_task` puts the rows


def read_task(path: Path, data_dir: Path | None = None) -> Task:
    """The task of a task file; its file pattern is relative to `data_dir`, default: the folder of
    the task file.

    UserError says what is missing or wrong in it.
    """
    entries = read_entries(path)
    names = {
        "language_names": entries.get("language_names", {}),
        "split_names": entries.get("split_names", {}),
    }
    if "files" in entries:
        folder = data_dir or path.resolve().parent
        rows = Files(folder, entries["files"], columns=entries.get("columns"), **names)
    else:
        rows = Hub(entries["hub"], config=entries.get("config"), **names)
    placeholders(entries["prompt"])  # refuse a wrong prompt here
    return Task(
        entries["name"],
        entries["prompt"],
        check_labels(path, entries["labels"]),
        entries["source"],
        tuple(entries.get("targets", ())),
        rows,
        rename=entries.get("rename", {}),
        max_length=int(entries.get("max_length", MAX_LENGTH)),
    )


def read_entries(path: Path) -> dict:
    """The JSON object of a task file, with all its required keys."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"The task file {path} does not exist; check the path.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The task file {path} is not valid JSON ({error}); correct it.") from None
    if not isinstance(entries, dict):
        raise UserError(
            f"The task file {path} holds a {type(entries).__name__}; it must be one JSON object"
            " with name, prompt, labels, source, targets, and files or hub."
        )
    missing = [key for key in REQUIRED_KEYS if key not in entries]
    if missing or ("files" in entries) == ("hub" in entries):
        needed = repr(missing[0]) if missing else "exactly one of 'files' and 'hub'"
        raise UserError(
            f"The task file {path} lacks {needed}; it needs name, prompt, labels, source, targets,"
            " and files or hub."
        )
    return entries


def check_labels(path: Path, labels) -> tuple[str, ...]:
    if not isinstance(labels, list):
        raise UserError(f"The labels in the task file {path} are {labels!r}; write them as a list.")
    labels = tuple(map(str, labels))
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise UserError(
            f"The labels in the task file {path} are {list(labels)}; a task needs at least two,"
            " each once."
        )
    return labels


def write_task(task: Task, folder: Path) -> Path:
    """Write a task whose rows are in memory (`own_tables.draft_task`) into a new folder below
    `folder`: a task file, and a CSV file for each language and split. Returns the task file's path.
    """
    task_folder = new_folder(folder, slug(task.name, "task"))
    for (language, split), frame in task.rows.frames.items():
        path = task_folder / FILES.format(language=language, split=split)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    entries = {
        "name": task.name,
        "prompt": task.prompt,
        "labels": list(task.labels),
        "source": task.source,
        "targets": list(task.targets),
        "files": FILES,
        "rename": {value: label for value, label in task.rename.items() if value != label},
    }
    path = task_folder / "task.json"
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


def new_folder(parent: Path, name: str) -> Path:
    """A folder below `parent` that does not exist yet: `name`, else `name`-2, `name`-3, ..."""
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder
