"""What its user says of a run: a name and a note in `note.json` of its folder, apart from the
request, which stays as it was asked.

The file is replaced whole, and anyone may write it, whatever the job is doing; without name and
note it goes.
"""

from pydantic import BaseModel

from ctsft.runs.folder import Run, read_json, write_json
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError

FILE, NAME, NOTE = "note.json", 80, 2000  # the longest name and note, in characters


class Note(BaseModel):
    name: str = ""  # shown instead of the request's
    note: str = ""


def read_note(run: Run) -> Note:
    """Empty words where nothing was noted, or where the file cannot be read."""
    return read_json(run.file(FILE), Note)


def save_note(run: Run, name: str = "", note: str = "") -> Note:
    """Name the run, and say something of it; UserError for words that are too long or a run that is
    gone.
    """
    kept = Note(
        name=" ".join("".join(sign if sign.isprintable() else " " for sign in name).split()),
        note=note.replace("\r\n", "\n").strip(),
    )
    for words, most, kind in ((kept.name, NAME, "name"), (kept.note, NOTE, "note")):
        if len(words) > most:
            raise UserError(
                f"The {kind} has {len(words)} characters; at most {most} are kept, so shorten it."
            )
    if not run.path.is_dir():
        raise UserError(f"Run {run.id!r} is gone, so it cannot be named; choose another one.")
    if kept == Note():
        atomic_files.remove(run.file(FILE))
    else:
        write_json(run.file(FILE), kept)
    return kept
