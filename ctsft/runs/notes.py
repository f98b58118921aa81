"""What the user says about a run: a name and a note in `note.json` of its folder, apart from the
request, which never changes; and for a scoring run, a note on each head.

The file is replaced as a whole, and may be written whatever the job is doing. Without a name and
any note it is removed.
"""

from pydantic import BaseModel

from ctsft.runs.explorations import refuse_read_only
from ctsft.runs.folder import Run, read_json, write_json
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError

FILE = "note.json"

# characters
LONGEST_NAME = 80
LONGEST_NOTE = 2000


class Note(BaseModel):
    name: str = ""  # shown instead of the request's name
    note: str = ""
    heads: dict[str, str] = {}  # {name of a head, "L2.H1": note}


def read_note(run: Run) -> Note:
    """Empty where nothing was noted, or where the file cannot be read."""
    return read_json(run.file(FILE), Note)


def save_note(run: Run, name: str = "", note: str = "") -> Note:
    """Store a name and a note. UserError for one that is too long, or a run that does not exist or
    is read only.
    """
    refuse_read_only(run)
    printable = "".join(character if character.isprintable() else " " for character in name)
    saved = Note(name=" ".join(printable.split()), note=clean(note), heads=read_note(run).heads)
    for text, longest, kind in (
        (saved.name, LONGEST_NAME, "name"),
        (saved.note, LONGEST_NOTE, "note"),
    ):
        check_length(text, longest, kind)
    return write(run, saved)


def save_head_note(run: Run, head: str, note: str) -> Note:
    """Store a note on a head ("L2.H1"); an empty one removes it. UserError as for `save_note`."""
    refuse_read_only(run)
    check_length(clean(note), LONGEST_NOTE, "note")
    saved = read_note(run)
    others = {name: text for name, text in saved.heads.items() if name != head}
    heads = others | ({head: clean(note)} if clean(note) else {})
    return write(run, saved.model_copy(update={"heads": heads}))


def clean(note: str) -> str:
    return note.replace("\r\n", "\n").strip()


def check_length(text: str, longest: int, kind: str) -> None:
    if len(text) > longest:
        raise UserError(f"The {kind} has {len(text)} characters; shorten it to at most {longest}.")


def write(run: Run, saved: Note) -> Note:
    """UserError for a run that does not exist."""
    if not run.path.is_dir():
        raise UserError(f"Run {run.id!r} no longer exists, so it cannot be named; choose another.")
    if saved == Note():
        atomic_files.remove(run.file(FILE))
    else:
        write_json(run.file(FILE), saved)
    return saved
