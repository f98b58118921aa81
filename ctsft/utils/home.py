"""The folder with the user's data: `$CTSFT_HOME`, or the system's data directory of the user."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """The absolute path of the folder that holds runs, circuits and the cache."""
    folder = os.environ.get("CTSFT_HOME") or platformdirs.user_data_dir("ctsft", appauthor=False)
    return Path(folder).expanduser().absolute()
