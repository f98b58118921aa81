"""The shell's entry: parse, run, and end with an exit code and one line on stderr."""

import logging
import os
import sys

import typer
from pydantic import ValidationError

from ctsft.cli import cache, experiment, export, run, runs, scoring, tuning, ui
from ctsft.cli.app import Halt, app
from ctsft.utils import distributed
from ctsft.utils.errors import UserError
from ctsft.utils.program import program_name

# importing them registers their commands
COMMANDS = (scoring, tuning, export, experiment, run, runs, cache, ui)


def main(arguments: list[str] | None = None) -> int:
    """Exit code; every error is one line on stderr."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        code = app(arguments, standalone_mode=False) or 0
        # typer's code for KeyboardInterrupt
        return fail("Interrupted; what was saved by then remains.", 1) if code == 130 else code
    except typer.TyperException as error:  # a usage error
        return fail(f"{error.format_message().rstrip('.')}. See `{program_name()} --help`.", 2)
    except ValidationError as error:
        first = error.errors()[0]
        return fail(
            f"{'.'.join(map(str, first['loc']))} = {first['input']!r} cannot be used:"
            f" {first['msg'].lower()}.",
            2,
        )
    except UserError as error:
        return fail(str(error), 2)
    except (KeyboardInterrupt, Halt) as error:
        return fail(str(error) or "Interrupted; what was saved by then remains.", 1)
    except Exception as error:  # the run's log has the traceback
        return fail(
            f"It failed with {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            " (traceback in the run's log.txt).",
            1,
        )


def fail(sentence: str, code: int) -> int:
    if distributed.RANK == 0:
        print(f"ctsft: {sentence}", file=sys.stderr)
    return code
