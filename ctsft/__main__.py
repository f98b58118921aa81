"""Every job from the shell: `python -m ctsft
accuracy|estimate|score|discover|faithfulness|validate|finetune|compare|runs|cache`.

Long jobs keep a run folder, print where, and may be stopped, watched and resumed from anywhere.
Progress goes to stderr, results to stdout (`--json` for machines). Exit codes: 0 done, 1 failed or
stopped, 2 wrong input (one line says what to do).
"""

import json
import logging
import os
import sys
import time
from typing import Annotated

import typer
from pydantic import ValidationError
from tqdm import tqdm

from ctsft import experiment_commands, export_commands, runs, scoring_commands, tuning_commands
from ctsft.cache import store
from ctsft.commands import AsJson, Halt, app
from ctsft.runs import tuning_table
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

# importing them registers their commands
COMMANDS = (scoring_commands, tuning_commands, export_commands, experiment_commands)


@app.command("runs")
def list_or_act(
    action: Annotated[
        str, typer.Argument(help="list, show, stop, discard, resume or delete.")
    ] = "list",
    run_id: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    as_json: AsJson = False,
    yes: Annotated[bool, typer.Option("--yes", help="Discard without asking.")] = False,
):
    """List runs, or show, stop (keeping what is done), discard, resume or delete one.

    Example: python -m ctsft runs show 20260131-101500-score-ab2c
    """
    if action == "list":
        rows = [
            {
                "run": run.id,
                "kind": run.request.kind,
                "state": run.status().state,
                "progress": run.status().progress,
                "message": run.status().message,
            }
            for run in runs.list_runs()
        ]
        lines = [
            f"{row['run']}  {row['state']:8} {row['progress']:4.0%}  {row['message']}".rstrip()
            for row in rows
        ]
        print(
            json.dumps(rows, indent=1) if as_json else "\n".join(lines) or "There are no runs yet."
        )
        return
    actions = {
        "show": show,
        "stop": lambda run: runs.stop(run, "keep"),
        "discard": lambda run: discard(run, yes),
        "resume": runs.resume,
        "delete": runs.delete,
    }
    if action not in actions:
        raise UserError(
            f"{action!r} is nothing that can be done with a run; choose from list,"
            f" {', '.join(actions)}."
        )
    actions[action](runs.get(run_id))


def discard(run: runs.Run, yes: bool):
    """Only once somebody said so."""
    if not yes and not sys.stdin.isatty():
        raise UserError(
            f"Discarding ends run {run.id} and deletes everything it made; say --yes to do that."
        )
    if not yes and not typer.confirm(f"End run {run.id} and delete everything it made?", err=True):
        raise Halt(f"Run {run.id} was left as it is.")
    runs.stop(run, "discard")


def show(run: runs.Run):
    words = {
        "status": run.status().model_dump(),
        "command": runs.shell_command(run.request),
        "request": run.request.model_dump(),
        "folder": str(run.path),
        "result": tuning_table.result(run),
    }
    print(json.dumps(words, indent=1))
    if run.status().state in ("failed", "lost"):
        print(run.log_tail(), file=sys.stderr)


@app.command("cache")
def list_or_clear(
    action: Annotated[str, typer.Argument(help="list or clear.")] = "list",
    kind: Annotated[
        str, typer.Argument(metavar="[KIND]", help="scores, means or pools; default: all.")
    ] = "",
    as_json: AsJson = False,
):
    """List the answers that are kept on disk, or delete them: they are computed again when they are
    asked for.

    Example: python -m ctsft cache clear scores
    """
    if action not in ("list", "clear"):
        raise UserError(
            f"{action!r} is nothing that can be done with the cache; choose from list, clear."
        )
    if kind not in ("", *store.KINDS):
        raise UserError(
            f"{kind!r} is not a kind of answer; choose from {', '.join(store.KINDS)}, or none for"
            " all."
        )
    if action == "clear":
        count, freed = store.clear(kind)
        print(
            json.dumps({"answers": count, "bytes": freed})
            if as_json
            else f"{counted(count)} deleted, {size_words(freed)} freed."
        )
        return
    rows = [
        {
            "kind": kept.kind,
            "model": kept.about["model"],
            "task": kept.about["task"],
            "what": kept.about["what"],
            "bytes": kept.bytes,
            "age": round(time.time() - kept.made),
            "path": str(kept.path),
        }
        for kept in store.entries()
        if kind in ("", kept.kind)
    ]
    lines = [
        f"{row['kind']:7} {row['model']:24} {row['task']:12} {row['what']:20}"
        f" {size_words(row['bytes']):>8}  {age_words(row['age']):>6}".rstrip()
        for row in rows
    ]
    lines.append(
        f"{counted(len(rows))}, {size_words(sum(row['bytes'] for row in rows))} of at most"
        f" {size_words(store.limit())}, in {store.cache_folder()}"
    )
    print(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


def counted(count: int) -> str:
    return f"{count} answer{'' if count == 1 else 's'}"


def size_words(size: int) -> str:
    return tqdm.format_sizeof(size, "B")


def age_words(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    unit, name = next(
        pair
        for pair in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
        if seconds >= pair[0] or pair[0] == 1
    )
    return f"{max(seconds, 0) / unit:.0f} {name}"


def main(words: list[str] | None = None) -> int:
    """Exit code; every error is one line on stderr."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        code = app(words, standalone_mode=False) or 0
        # typer's word for KeyboardInterrupt
        return fail("Interrupted; what was saved by then is kept.", 1) if code == 130 else code
    except typer.TyperException as error:  # a usage error
        return fail(f"{error.format_message().rstrip('.')}. See `python -m ctsft --help`.", 2)
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
        return fail(str(error) or "Interrupted; what was saved by then is kept.", 1)
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


if __name__ == "__main__":
    sys.exit(main())
