"""Where the program keeps a user's data: `$CTSFT_HOME`, or the user's data directory."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Where runs, circuits and the cache are kept."""
    return (
        Path(os.environ.get("CTSFT_HOME") or platformdirs.user_data_dir("ctsft", appauthor=False))
        .expanduser()
        .absolute()
    )
