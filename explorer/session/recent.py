"""Models and tasks that were opened before, in `recent.json` of the user's folder; no streamlit."""

import json
from contextlib import suppress
from pathlib import Path

from ctsft.utils import home
from ctsft.utils.atomic_files import write_bytes

MOST = 8
KINDS = ("models", "tasks")
BUILT_IN = ("demo", "nusax", "xnli")


def listed(kind: str) -> list[str]:
    """The last one first; folders and files that are gone are left out."""
    return [
        name
        for name in read()[kind]
        if not name.startswith(("/", "~")) or Path(name).expanduser().exists()
    ]


def remember(kind: str, name: str):
    """Put a name in front; nothing is written when it stands there already, or where nothing can
    be.
    """
    words = read()
    if words[kind][:1] == [name]:
        return
    words[kind] = [name, *(other for other in words[kind] if other != name)][:MOST]
    path = file()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(words, ensure_ascii=False).encode())


def model_fields(name: str) -> dict:
    """How Setup's input fields say a model's name."""
    kind = "bundled" if name == "demo" else "folder" if Path(name).expanduser().is_dir() else "hub"
    return {"model_kind": kind} | ({kind: name} if kind != "bundled" else {})


def task_fields(name: str) -> dict:
    """How Setup's input fields say a task's name."""
    return {"task_kind": name} if name in BUILT_IN else {"task_kind": "file", "task_file": name}


def file() -> Path:
    return home.home() / "recent.json"


def read() -> dict[str, list[str]]:
    """Both lists; empty for a file that is not there, torn or foreign."""
    try:
        words = json.loads(file().read_text(encoding="utf-8"))
        return {
            kind: [name for name in words.get(kind, []) if isinstance(name, str)][:MOST]
            for kind in KINDS
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {kind: [] for kind in KINDS}
