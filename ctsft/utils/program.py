"""The name of the command line, as messages show it."""

import sys
from pathlib import Path


def program_name() -> str:
    """`ctsft` in a process that the installed command started; elsewhere that command may not
    exist, and `python -m ctsft` does.
    """
    return "ctsft" if Path(sys.argv[0]).stem == "ctsft" else "python -m ctsft"
