"""The shell's command for runs: list, show, stop, discard, resume, delete."""

import json
import sys
from typing import Annotated

import typer

from ctsft import runs
from ctsft.cli.app import AsJson, Halt, app
from ctsft.runs import results
from ctsft.runs.damage import damage
from ctsft.runs.explorations import origin_of
from ctsft.utils.errors import UserError, cut


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
        rows = list(map(row_of, [*runs.list_runs(), *runs.list_read_only(recorded=False)]))
        lines = [
            f"{row['run']}  {row['state']:8} {row['progress']:4.0%}  {line_end(row)}".rstrip()
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
            f"{action!r} is not an action of runs; choose from list, {', '.join(actions)}."
        )
    actions[action](runs.get(run_id))


def row_of(run: runs.Run) -> dict:
    """A run in the list; one that is damaged is "unreadable" with the reason, unless its job is
    at work.
    """
    status, reason = run.status(), damage(run)
    return {
        "run": run.id,
        "kind": cut(run.request.kind),
        "state": "unreadable" if reason and not status.active else status.state,
        "progress": status.progress,
        "message": cut(run.note or reason or status.message, 300),
        "from": cut(origin_of(run), 100),  # the exploration of a read-only run
    }


def line_end(row: dict) -> str:
    origin = f"[from {row['from']}]" if row["from"] else ""
    return " ".join(filter(None, [origin, row["message"]]))


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
    from ctsft.jobs.command_line import shell_command  # torch and transformers: not for the list
    from ctsft.jobs.requests import request_of
    from ctsft.runs.folder import UNREADABLE

    request = request_of(run)
    content = {
        "status": run.status().model_dump(),
        "unreadable": damage(run).removeprefix("unreadable: "),
        "command": f"(run {run.note or UNREADABLE})" if request is None else shell_command(request),
        "request": (request or run.request).model_dump(),
        "folder": str(run.path),
        "result": results.result(run),
    }
    print(json.dumps(content, indent=1))
    if run.status().state in ("failed", "lost"):
        print(run.log_tail(), file=sys.stderr)
