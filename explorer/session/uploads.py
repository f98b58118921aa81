"""Tables that were dropped on Setup and are not a task yet: copies in the user's folder, so that
they outlive a reload. They are removed when their task is saved, or on request.
"""

from pathlib import Path

from ctsft.utils import atomic_files
from ctsft.utils.atomic_files import write_bytes
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug
from ctsft.utils.home import home, home_folder
from ctsft.utils.units import bytes_text
from explorer import guard
from explorer.session import visitors

FOLDER = "uploads"
MOST_BYTES = 100 * 2**20  # of all files together
MOST_FILES = 20


def place() -> str:
    """The folder of this user; on a shared server each visitor has one."""
    return visitors.mark()[:32] if guard.is_shared() else "own"


def listed() -> list[Path]:
    """The stored files, by name; none where they cannot be read."""
    try:
        folder = home() / FOLDER / place()
        return sorted(
            path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
        )
    except (OSError, UserError):
        return []


def save(name: str, content: bytes) -> None:
    """Store a file in place of one of the same name. UserError where there is no room."""
    safe = safe_name(name)
    others = [path for path in listed() if path.name != safe]
    size = sum(path.stat().st_size for path in others) + len(content)
    if size > MOST_BYTES or len(others) >= MOST_FILES:
        raise UserError(
            f"{name!r:.80} is not stored for the next visit: at most {MOST_FILES} files of"
            f" {bytes_text(MOST_BYTES)} together are; delete stored tables, or use this task now."
        )
    write_bytes(home_folder(FOLDER, place()) / safe, content)


def remove(name: str) -> None:
    for path in listed():
        if path.name == safe_name(name):
            atomic_files.remove(path)


def clear() -> None:
    for path in listed():
        atomic_files.remove(path)


def safe_name(name: str) -> str:
    """The name without what could lead to another folder."""
    return slug(Path(name).name, "table.csv", also=".", longest=120)
