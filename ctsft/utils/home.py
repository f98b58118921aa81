"""The folder with the user's data: `$CTSFT_HOME`, or the system's data directory of the user."""

import os
from pathlib import Path

import platformdirs

from ctsft.utils.atomic_files import private_folder
from ctsft.utils.errors import UserError, quoted


def home() -> Path:
    """The absolute path of the folder that holds runs, circuits and the cache. UserError for a
    CTSFT_HOME that names no folder, such as that of an unknown user.
    """
    named = os.environ.get("CTSFT_HOME") or platformdirs.user_data_dir("ctsft", appauthor=False)
    try:
        return Path(named).expanduser().absolute()
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"CTSFT_HOME is {quoted(named)}, which cannot be found ({error}); set it to a folder"
            " where you may write."
        ) from None


def home_folder(*names: str) -> Path:
    """A folder below `home()`, made if need be; only the user may open what is made. UserError
    where it cannot be made or written.
    """
    path = home().joinpath(*names)
    try:
        private_folder(path)
        reason = "" if os.access(path, os.W_OK | os.X_OK) else "no permission to write"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise unwritable(path, reason)
    return path


def unwritable(path: Path, reason: str) -> UserError:
    """The error for a folder of the user's data that cannot be written."""
    return UserError(
        f"The folder {path} cannot be used ({reason}); set CTSFT_HOME to a folder where you may"
        " write."
    )
