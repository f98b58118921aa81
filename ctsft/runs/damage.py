"""Why a run folder cannot be read, for lists: a damaged one is named there, and nothing else
changes.
"""

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ctsft.runs.folder import EARLIER, Request, Run, Status, file_stamp, is_settled
from ctsft.runs.results import checked_result, history
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.json_files import parse_json, problem, read_regular, reason_of

READ = ("request.json", "status.json", "events.jsonl", "result.json")


def damage(run: Run) -> str:
    """ "unreadable: why" for a run whose request, status, events or result are not what a job
    writes; "" for any other. Looked up for as long as the files stay the same.
    """
    stamps = tuple(file_stamp(run.file(name)) for name in READ)
    settled = all(stamp is None or is_settled(stamp) for stamp in stamps)
    reason = (_reason if settled else _reason.__wrapped__)(run.path, stamps)
    return f"unreadable: {reason}" if reason else ""


def remark(run: Run) -> str:
    """What a list says of a run that cannot be used: made by an earlier version, or damaged."""
    return run.note or damage(run)


@lru_cache(maxsize=20_000)
def _reason(path: Path, stamps: tuple) -> str:
    run = Run(path)
    if run.note == EARLIER:
        return ""
    for name, kind in (("request.json", Request), ("status.json", Status)):
        reason = wrong_file(run.file(name), kind)
        if reason:
            return f"{name}: {reason}"
    try:
        read_regular(run.file("events.jsonl"))
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"events.jsonl: {reason_of(error)}"
    try:
        checked_result(run)
    except UserError as error:
        return str(error)
    return history(run)[1]


def wrong_file(path: Path, kind: type[BaseModel]) -> str:
    """Why a file is not a `kind`; "" where it is, or does not exist yet."""
    try:
        content = parse_json(read_regular(path))
        if not isinstance(content, dict):
            return f"{quoted(content)} is not an object"
        kind.model_validate(content)
    except FileNotFoundError:
        return "it leads nowhere" if path.is_symlink() else ""
    except ValidationError as error:
        return problem(error)
    except (OSError, ValueError) as error:
        return reason_of(error)
    return ""
