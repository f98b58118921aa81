"""The shell's entry: parse, run, and end with an exit code and one line on stderr."""

import logging
import os
import sys

import typer
from pydantic import ValidationError

from ctsft.cli import (
    bundle,
    cache,
    experiment,
    export,
    run,
    runs,
    scoring,
    scoring_checks,
    tuning,
    ui,
    verify,
)
from ctsft.cli.app import Halt, app
from ctsft.runs.folder import RunRemoved
from ctsft.utils import distributed
from ctsft.utils.errors import UserError, cut
from ctsft.utils.json_files import problem
from ctsft.utils.program import program_name

# importing them registers their commands
COMMANDS = (
    scoring,
    scoring_checks,
    tuning,
    export,
    experiment,
    run,
    runs,
    bundle,
    verify,
    cache,
    ui,
)


INTERRUPTED = "Interrupted; what was saved by then remains."


def main(arguments: list[str] | None = None) -> int:
    """Exit code; every error is one line on stderr."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        code = app(arguments, standalone_mode=False) or 0
        # typer's code for KeyboardInterrupt
        return fail(INTERRUPTED, 1) if code == 130 else code
    except typer.TyperException as error:  # a usage error
        return fail(f"{error.format_message().rstrip('.')}. See `{program_name()} --help`.", 2)
    except ValidationError as error:
        return fail(f"This cannot be used: {problem(error)}.", 2)
    except RunRemoved as error:
        return fail(str(error), 1)
    except UserError as error:
        return fail(str(error), 2)
    except (KeyboardInterrupt, Halt) as error:
        return fail(str(error) or INTERRUPTED, 1)
    except Exception as error:
        log = getattr(error, "log_file", None)  # of a job: `runs.record` wrote the traceback there
        where = f" (traceback in {log})" if log else ""
        sentence = f"It failed with {type(error).__name__}: {cut(error, 300)}{where}."
        if distributed.RANK:  # the others only see that this one has gone
            print(f"ctsft: Process {distributed.RANK}: {sentence}", file=sys.stderr)
        return fail(sentence, 1)


def fail(sentence: str, code: int) -> int:
    """What is wrong with the input is wrong in every process, and said by the first."""
    if distributed.RANK == 0:
        print(f"ctsft: {sentence}", file=sys.stderr)
    return code
