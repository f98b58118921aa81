"""Bundles: runs of this home as one .zip, which another home opens as an exploration (read only).

    exploration.json          the title, and the SHA-256 of every file
    runs/<id>/<file>          a run folder: ordinary files only, no folder inside

A bundle holds the runs that were named and those that they refer to (the scores of their circuits,
the experiment of a trial). What tells of the machine stays behind: logs, process ids, the folder
that a job was started in. Opening one treats it like any foreign file: every name, type and size is
checked before anything is written, nothing in it is executed, and each run has to pass the checks
of the list of runs (`runs.damage`, `requests.request_of`), or nothing is opened.
"""

import hashlib
import io
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ctsft import runs
from ctsft.jobs.requests import needed_request, request_of, request_problem
from ctsft.runs.damage import damage
from ctsft.runs.explorations import FILE, About, Exploration
from ctsft.runs.folder import Run, Status, read_json, write_json
from ctsft.runs.recorder import ID
from ctsft.utils.atomic_files import atomic_path, write_bytes
from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.home import home_folder
from ctsft.utils.json_files import open_regular, parse_json, read_regular

ENDED = ("done", "stopped", "failed", "lost")
ENDINGS = (".json", ".jsonl", ".csv", ".md", ".safetensors")  # data only: nothing that runs
LEFT_OUT = ("process.json",)  # of a run folder
DELTAS = "delta"  # how the names of delta files begin
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,119}")

# of a bundle, once it is unpacked
MOST_FILES = 20_000
MOST_BYTES = 2**30
CHUNK = 2**20


def write_bundle(run_ids: list[str], to: Path, deltas: bool = False) -> list[Run]:
    """Write a new .zip with these runs and the runs that they refer to; returns them all. deltas:
    whether the changed parameters of tuning runs are part of it.

    UserError for a run that has not ended or is damaged, a file that exists, or too many bytes.
    """
    to = Path(to)
    if to.suffix != ".zip" or to.exists():
        why = "exists already" if to.exists() else "does not end in .zip"
        raise UserError(f"The bundle {cut(to, 200)} {why}; name a new file that ends in .zip.")
    chosen = with_references(run_ids)
    files = [(run, path) for run in chosen for path in bundled_files(run, deltas)]
    need = sum(path.stat().st_size for _, path in files)
    if need > MOST_BYTES or len(files) > MOST_FILES:
        hint = "without --deltas, or with fewer runs" if deltas else "with fewer runs"
        raise UserError(
            f"These runs are {len(files)} files of {need:,} bytes, and a bundle holds at most"
            f" {MOST_FILES} files of {MOST_BYTES:,} bytes; write one {hint}."
        )
    with (
        atomic_path(to, "the bundle", new=True) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as bundle,
    ):
        hashes = {}
        for run, path in files:
            name, content = f"runs/{run.id}/{path.name}", portable(path)
            hashes[name] = hashlib.sha256(content).hexdigest()
            bundle.writestr(name, content)
        about = About(title=to.name, files=hashes)
        bundle.writestr(FILE, json.dumps(about.model_dump(), indent=1))
    return chosen


def with_references(run_ids: list[str]) -> list[Run]:
    """The runs, each once, and those that their requests name, as far as these exist."""
    chosen: dict[str, Run] = {}
    waiting = list(run_ids)
    if not waiting:
        raise UserError("Name the runs to bundle; `python -m ctsft runs` lists them.")
    while waiting:
        run = runs.get(waiting.pop(0))
        if run.id in chosen:
            continue
        request = needed_request(run)
        if run.status().active or damage(run):
            why = "has not ended" if run.status().active else f"is {damage(run)}"
            raise UserError(f"Run {run.id!r} {why}, so it cannot be bundled; leave it out.")
        chosen[run.id] = run
        waiting += [name for name in texts_in(request.model_dump()) if is_run(name)]
    return list(chosen.values())


def texts_in(value: object) -> Iterator[str]:
    """Every text in nested dictionaries, lists and tuples."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for one in value.values() for text in texts_in(one))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (text for one in value for text in texts_in(one))


def is_run(name: str) -> bool:
    try:
        return bool(ID.fullmatch(name)) and runs.get(name).file("request.json").is_file()
    except UserError:
        return False


def bundled_files(run: Run, deltas: bool) -> list[Path]:
    """The files of a run that a bundle holds, by name."""
    return [
        path
        for path in sorted(run.path.iterdir())
        if path.is_file()
        and not path.is_symlink()
        and path.suffix in ENDINGS
        and FILE_NAME.fullmatch(path.name)
        and path.name not in LEFT_OUT
        and (deltas or not path.name.startswith(DELTAS))
    ]


def portable(path: Path) -> bytes:
    """The content of a file without what tells of this machine."""
    if path.name == "request.json":
        content = parse_json(read_regular(path))
        return json.dumps(content | {"cwd": ""}, indent=1).encode()
    if path.name == "status.json":
        return status_text(read_json(path, Status)).encode()
    return read_regular(path)


def status_text(status: Status) -> str:
    nowhere = {"pid": None, "pid_started": None, "host": ""}
    return json.dumps(status.model_copy(update=nowhere).model_dump(), indent=1)


def open_bundle(file: Path | BinaryIO, title: str = "", opened: float = 0.0) -> Exploration:
    """Unpack a bundle as an exploration of this home. title: the file's name where `file` is not a
    path; opened: when, in seconds since 1970.

    UserError, one sentence, for what is not a bundle, holds anything but the files of runs, is too
    large, or has a run that the list of runs would call unreadable; nothing is left of it then.
    """
    title = title or (file.name if isinstance(file, Path) else "exploration.zip")
    with opened_bundle(file, title) as (bundle, entries):
        return unpack(bundle, entries, About(title=title[:200], opened=opened))


@contextmanager
def opened_bundle(
    file: Path | BinaryIO, title: str
) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A bundle with its checked entries; UserError, one sentence, for what is none."""
    try:
        with (
            open_regular(file) if isinstance(file, Path) else nullcontext(file) as packed,
            zipfile.ZipFile(packed) as bundle,
        ):
            yield bundle, checked_entries(bundle, title)
    except FileNotFoundError:
        raise UserError(f"There is no file {cut(title, 200)}; name a bundle (.zip).") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise refusal(title, f"it cannot be read ({cut(error)})") from None


def refusal(title: str, why: str) -> UserError:
    return UserError(
        f"The bundle {cut(title, 200)} cannot be opened: {why}; choose a .zip that `ctsft bundle`"
        " wrote."
    )


def checked_entries(bundle: zipfile.ZipFile, title: str) -> list[zipfile.ZipInfo]:
    """The files of a bundle. UserError unless every entry is an ordinary file of a run with a
    harmless name, each once, and all of them together are within the limits.
    """
    entries = [entry for entry in bundle.infolist() if not entry.is_dir()]
    if len(bundle.infolist()) > MOST_FILES:
        raise refusal(title, f"it has {len(bundle.infolist())} files, more than {MOST_FILES}")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise refusal(title, f"unpacked it has more than {MOST_BYTES:,} bytes")
    seen = set()
    for entry in bundle.infolist():
        name = entry.filename
        if why := wrong_entry(entry):
            raise refusal(title, f"{quoted(name)} {why}")
        if name.casefold() in seen:
            raise refusal(title, f"{quoted(name)} is there twice")
        seen.add(name.casefold())
    if not any(PurePosixPath(entry.filename).name == "request.json" for entry in entries):
        raise refusal(title, "it holds no run")
    return entries


def wrong_entry(entry: zipfile.ZipInfo) -> str:
    """Why an entry has no place in a bundle; "" where it has one."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not an ordinary file"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unknown way"
    parts = entry.filename.rstrip("/").split("/") if entry.is_dir() else entry.filename.split("/")
    if entry.is_dir():
        is_place = parts == ["runs"] or (
            len(parts) == 2 and parts[0] == "runs" and ID.fullmatch(parts[1])
        )
        return "" if is_place and not entry.file_size else "is not a folder of a bundle"
    if parts == [FILE]:
        return ""
    if len(parts) != 3 or parts[0] != "runs" or not ID.fullmatch(parts[1]):
        return "is not a file of a run"
    if not FILE_NAME.fullmatch(parts[2]) or Path(parts[2]).suffix not in ENDINGS:
        return f"is not one of the files that a run has ({', '.join(ENDINGS)})"
    return ""


def unpack(bundle: zipfile.ZipFile, entries: list[zipfile.ZipInfo], about: About) -> Exploration:
    """Write the files to a new folder, check the runs there, and give the folder its name."""
    folder = free_folder(about.title)
    size = sum(entry.file_size for entry in entries)
    with atomic_path(folder, "the exploration", size, new=True) as part:
        # without its own file: the title is the bundle's name
        write_entries(bundle, [entry for entry in entries if entry.filename != FILE], part)
        for path in sorted((part / "runs").iterdir()):
            if why := wrong_run(Run(path)):
                raise refusal(about.title, f"run {path.name!r} is {why}")
            forget_machine(Run(path))
        write_json(part / FILE, about.model_dump())
    return Exploration(folder)


def write_entries(bundle: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path):
    """Write checked entries into a folder."""
    for entry in entries:
        path = folder.joinpath(*entry.filename.split("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(entry) as packed, path.open("xb") as out:
            copy(packed, out, entry.file_size)


def copy(packed: io.BufferedIOBase, out: BinaryIO, size: int) -> None:
    """Copy at most the size that the entry declared: one that unpacks to more is no bundle."""
    left = size
    while chunk := packed.read(CHUNK):
        left -= len(chunk)
        if left < 0:
            raise zipfile.BadZipFile("an entry is larger than it says")
        out.write(chunk)


def wrong_run(run: Run) -> str:
    """Why a run cannot be listed; "" where it can."""
    if reason := damage(run) or run.note:
        return reason
    if request_of(run) is None:
        return f"unreadable: {request_problem(run)}"
    state = read_json(run.file("status.json"), Status).state
    if not run.file("status.json").is_file() or state not in ENDED:
        return "not a run that has ended"
    return ""


def forget_machine(run: Run) -> None:
    """Nothing in an exploration says that a process of this machine works on it."""
    for name in ("status.json", "request.json"):
        write_bytes(run.file(name), portable(run.file(name)))
    run.file("process.json").unlink(missing_ok=True)


def free_folder(title: str) -> Path:
    """A folder for an exploration that does not exist, named after its file."""
    parent = home_folder("explorations")
    stem = re.sub(r"[^a-z0-9]+", "-", Path(title).stem.lower()).strip("-")[:60] or "exploration"
    number = 1
    while (folder := parent / (stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return folder
