"""Tasks in files: read a task file (JSON), and write a task with its rows as a folder.

`TaskFile` is the one door: every key of a task file is checked there by type, and a key that it
does not know is refused. The keys are described in the documentation of models and data. The file
pattern is relative to the task file itself.
"""

import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
)

from ctsft.data.sources import Files, Hub, check_pattern
from ctsft.data.task import MAX_LENGTH, Task
from ctsft.utils.atomic_files import atomic_path, private_folder
from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.file_names import slug
from ctsft.utils.json_files import read_regular

FILES = "{language}/{split}.csv"  # where `write_task` puts the rows
NEEDED = "it needs name, prompt, labels, source, targets, and files or hub"
LONGEST_PATH = 250  # characters of a path in a sentence
LONGEST_PROMPT = 1_000_000  # tokens


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write a text that is not empty")
    if "\0" in value or not value.isascii() and not encodable(value):
        raise ValueError("it holds a character that no file can hold")
    return value


def encodable(value: str) -> bool:
    try:
        return bool(value.encode())
    except UnicodeEncodeError:
        return False


def name(value: object) -> str:
    """A text of one line."""
    if any(unicodedata.category(sign) == "Cc" for sign in text(value)):
        raise ValueError("write it in one line, without control characters")
    return value


def label(value: object) -> str:
    """A label: a text of one line, or a whole number, which stands for its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("write each label as a text")
    return value and name(value)


def listed(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("write them as a list")
    return value


def distinct(values: list[str]) -> list[str]:
    double = next((value for value in values if values.count(value) > 1), None)
    if double is not None:
        raise ValueError(f"{quoted(double)} stands there twice; write each once")
    return values


def pattern(value: str) -> str:
    check_pattern(value)
    return value


Text = Annotated[str, BeforeValidator(text)]
Name = Annotated[str, BeforeValidator(name)]
Pattern = Annotated[Name, AfterValidator(pattern)]
Label = Annotated[str, BeforeValidator(label)]
Names = Annotated[list[Name], BeforeValidator(listed), AfterValidator(distinct)]
Labels = Annotated[list[Label], BeforeValidator(listed), AfterValidator(distinct)]
Split = Literal["train", "valid", "test"]


class TaskFile(BaseModel):
    """The keys of a task file and their types."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    prompt: Text
    labels: Labels
    source: Name
    targets: Names = Field(default_factory=list)
    files: Pattern | None = None
    hub: Pattern | None = None
    data: Name | None = None  # a built-in task whose rows are used
    config: Pattern | None = None  # of a dataset of the hub
    rows: Annotated[StrictInt, Field(ge=1, le=LONGEST_PROMPT)] | None = None  # of each split
    columns: Names | None = None
    language_names: dict[Name, Name] = Field(default_factory=dict)
    split_names: dict[Split, Name] = Field(default_factory=dict)
    rename: dict[str, Label] = Field(default_factory=dict)
    leave_out: Labels = Field(default_factory=list)
    quotes: StrictBool | None = None
    max_length: Annotated[StrictInt, Field(ge=1, le=LONGEST_PROMPT)] = MAX_LENGTH


REQUIRED_KEYS = tuple(name for name, field in TaskFile.model_fields.items() if field.is_required())


def read_task(
    path: Path,
    data_dir: Path | None = None,
    built_in: Mapping[str, Callable[[Path | None], Task]] | None = None,
) -> Task:
    """The task of a task file; its file pattern is relative to `data_dir`, default: the folder of
    the task file. `built_in`: tasks whose rows a task file may use (`data`).

    UserError says what is missing or wrong in it.
    """
    entries = read_entries(path)
    names = {"language_names": entries.language_names, "split_names": entries.split_names}
    if entries.data is not None:
        if entries.data not in (built_in or {}):
            raise UserError(
                f"The task file {name_of(path)} uses the data of {quoted(entries.data)}, which is"
                f" not a built-in task; choose from {', '.join(built_in or ())}."
            )
        rows = built_in[entries.data](data_dir).rows
    elif entries.files is not None:
        folder = data_dir or path.resolve().parent
        columns = None if entries.columns is None else tuple(entries.columns)
        rows = Files(folder, entries.files, columns=columns, quotes=entries.quotes, **names)
    else:
        rows = Hub(entries.hub, config=entries.config, rows=entries.rows, **names)
    return Task(
        entries.name,
        entries.prompt,
        tuple(entries.labels),
        entries.source,
        tuple(entries.targets),
        rows,
        rename=entries.rename,
        max_length=entries.max_length,
        leave_out=tuple(entries.leave_out),
    )


def read_entries(path: Path) -> TaskFile:
    """The checked content of a task file."""
    shown = name_of(path)
    try:
        content = json.loads(read_regular(path), object_pairs_hook=without_doubles)
    except FileNotFoundError:
        raise UserError(f"The task file {shown} does not exist; check the path.") from None
    except OSError as error:
        raise UserError(
            f"The task file {shown} could not be read ({error.strerror}); check the path."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"The task file {shown} is not valid JSON ({cut(error)}); correct it."
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"The task file {shown} holds a {type(content).__name__}; it must be one JSON object"
            " with name, prompt, labels, source, targets, and files or hub."
        )
    missing = [key for key in REQUIRED_KEYS if key not in content]
    rows_from = [key for key in ("files", "hub", "data") if content.get(key) is not None]
    if missing or len(rows_from) != 1:
        needed = repr(missing[0]) if missing else "exactly one of 'files' and 'hub'"
        raise UserError(f"The task file {shown} lacks {needed}; {NEEDED}.")
    try:
        entries = TaskFile.model_validate(content)
    except ValidationError as error:
        raise UserError(wrong_key(path, error)) from None
    check_together(path, entries)
    return entries


def name_of(path: Path) -> str:
    """A task file's path in an error's sentence."""
    return cut(path, LONGEST_PATH)


def without_doubles(pairs: list[tuple[str, object]]) -> dict:
    distinct([key for key, _ in pairs])
    return dict(pairs)


def wrong_key(path: Path, error: ValidationError) -> str:
    """The first thing that is wrong in a task file, as a sentence."""
    shown = name_of(path)
    first = error.errors(include_url=False)[0]
    key, *inside = first["loc"]
    if first["type"] == "extra_forbidden":
        return (
            f"The task file {shown} holds the key {quoted(key)}, which a task file does not have;"
            f" its keys are {', '.join(TaskFile.model_fields)}."
        )
    place = f" (at {cut('.'.join(map(str, inside)))})" if inside else ""
    why = REASONS.get(first["type"], first["msg"].removeprefix("Value error, "))
    return (
        f"The task file {shown} has {quoted(first['input'])} as {key}{place}, which cannot be used:"
        f" {why.rstrip('.')}."
    )


REASONS = {
    "dict_type": 'write an object, such as {"name": "other name"}',
    "int_type": "write a whole number",
    "bool_type": "write true or false",
    "literal_error": "the splits are train, valid and test",
    "greater_than_equal": "write a number of at least 1",
    "less_than_equal": f"write a number of at most {LONGEST_PROMPT:,}",
}


def check_together(path: Path, entries: TaskFile):
    """UserError for keys that contradict each other."""
    shown = name_of(path)
    languages = [entries.source, *entries.targets]
    if len(entries.labels) < 2 or not all(map(str.strip, entries.labels)):
        raise UserError(
            f"The labels in the task file {shown} are {quoted(entries.labels)}; a task needs at"
            " least two, none of them empty."
        )
    if entries.source in entries.targets:
        raise UserError(
            f"The task file {shown} names {quoted(entries.source)} as source and as target; name"
            " each language once."
        )
    if entries.files is None:
        return
    if entries.rows is not None:
        raise UserError(
            f"The task file {shown} has rows, which are the first of a dataset of the hub; remove"
            " the key, because files are read whole."
        )
    braces = ["split"] if len(languages) == 1 else ["language", "split"]
    lacks = next((name for name in braces if f"{{{name}}}" not in entries.files), None)
    if lacks:
        raise UserError(
            f"The file pattern {quoted(entries.files)} in the task file {shown} cannot be filled"
            f" in: it lacks {{{lacks}}}, and one file would hold the rows of every {lacks}; write"
            f" it like {FILES}."
        )


def write_task(task: Task, folder: Path) -> Path:
    """Write a task whose rows are in memory (`own_tables.draft_task`) into a new folder below
    `folder`: a task file, and a CSV file for each language and split. Returns the task file's path.
    """
    private_folder(folder)
    entries = {
        "name": task.name,
        "prompt": task.prompt,
        "labels": list(task.labels),
        "source": task.source,
        "targets": list(task.targets),
        "files": FILES,
        "rename": {value: label for value, label in task.rename.items() if value != label},
        "max_length": task.max_length,
    }
    for task_folder in new_folders(folder, slug(task.name, "task")):
        # another session may take the same name at the same time
        with suppress(FileExistsError), atomic_path(task_folder, "the task", new=True) as part:
            for (language, split), frame in task.rows.frames.items():
                path = part / FILES.format(language=language, split=split)
                path.parent.mkdir(parents=True, exist_ok=True)
                frame.to_csv(path, index=False)
            text = json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
            (part / "task.json").write_text(text, encoding="utf-8")
            break
    return task_folder / "task.json"


def new_folders(parent: Path, name: str) -> Iterator[Path]:
    """Folders below `parent` that do not exist yet: `name`, else `name`-2, `name`-3, ..."""
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            yield folder
