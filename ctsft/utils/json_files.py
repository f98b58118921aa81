"""The one door for JSON that the program reads back: ordinary files of a bounded size and depth,
checked by type (pydantic), refused in one sentence that names the field.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from ctsft.utils.errors import UserError, cut, quoted

MOST_BYTES = 512 * 2**20
Model = TypeVar("Model", bound=BaseModel)


def open_regular(path: Path) -> BinaryIO:
    """An ordinary file, opened for reading. OSError for anything else: a folder, a pipe, a device,
    a link that leads nowhere, a file that may not be read.
    """
    try:
        # O_NONBLOCK: opening a pipe without a writer returns
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a name with a null character
        raise OSError(errno.EINVAL, str(error)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of an ordinary file (`open_regular`); OSError where it has more than `most`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"{size} bytes, more than {most}")
        return file.read()


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return "not text in UTF-8"
    return f"not JSON: {cut(error)}"


def parse_json(text: str | bytes) -> object:
    """The value of a JSON text. ValueError for what is not JSON or too deep, and nothing else."""
    return from_json(text)


def read_json_file(path: Path, what: str, advice: str) -> object:
    """The value of a JSON file. UserError where it cannot be read: `what` names the file, `advice`
    says what to do.
    """
    try:
        return parse_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{what} {cut(path, 200)} cannot be read ({reason_of(error)}); {advice}."
        ) from None


def checked(content: object, kind: type[Model], what: str, advice: str) -> Model:
    """The content as a `kind`. UserError that names the field, with what came and why not."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{what} cannot be used: {problem(error)}; {advice}.") from None


def problem(error: ValidationError) -> str:
    """The first thing that pydantic refused: the field, what came, why not."""
    first = error.errors(include_url=False)[0]
    where = cut(".".join(map(str, first["loc"])))
    why = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "extra_forbidden":
        return f"{where!r} is not a known key"
    if first["type"] == "missing":
        return f"{where!r} is missing"
    if first["type"] == "value_error":
        return f"{where}: {cut(why, 300)}" if where else cut(why, 300)
    came = quoted(first["input"])
    return f"{where or 'it'} = {came}: {why[:1].lower()}{why[1:]}"
