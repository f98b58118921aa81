"""Models and tasks that were opened before, stored in `recent.json`; no streamlit."""

import json
from contextlib import suppress
from pathlib import Path

from ctsft.runs.recorded_models import recorded_model
from ctsft.utils import home
from ctsft.utils.atomic_files import write_bytes

MAX_NAMES = 8  # of each kind
KINDS = ("models", "tasks")
BUILT_IN = ("demo", "nusax", "xnli")


def listed(kind: str) -> list[str]:
    """The names, newest first, without folders and files that do not exist any more."""
    return [
        name
        for name in read()[kind]
        if not name.startswith(("/", "~")) or Path(name).expanduser().exists()
    ]


def remember(kind: str, name: str):
    """Put a name first. Nothing is written if it is first already, or if the folder is not
    writable.
    """
    names = read()
    if names[kind][:1] == [name]:
        return
    names[kind] = [name, *(other for other in names[kind] if other != name)][:MAX_NAMES]
    path = file()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(names, ensure_ascii=False).encode())


def model_fields(name: str) -> dict:
    """The fields of Setup's inputs for a model's name."""
    if name == "demo":
        return {"model_kind": "bundled"}
    if recorded_model(name):
        return {"model_kind": "recorded"}
    kind = "folder" if Path(name).expanduser().is_dir() else "hub"
    return {"model_kind": kind, kind: name}


def task_fields(name: str) -> dict:
    """The fields of Setup's inputs for a task's name."""
    return {"task_kind": name} if name in BUILT_IN else {"task_kind": "file", "task_file": name}


def file() -> Path:
    return home.home() / "recent.json"


def read() -> dict[str, list[str]]:
    """Both lists; empty if the file does not exist or cannot be read."""
    try:
        stored = json.loads(file().read_text(encoding="utf-8"))
        return {
            kind: [name for name in stored.get(kind, []) if isinstance(name, str)][:MAX_NAMES]
            for kind in KINDS
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {kind: [] for kind in KINDS}
