"""The shell's commands for explorations: runs as one file, and opening such a file."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from ctsft import runs
from ctsft.cli.app import AsJson, app
from ctsft.runs.explorations import explorations, find_exploration, remove_exploration
from ctsft.utils.errors import UserError


@app.command()
def bundle(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")],
    to: Annotated[str, typer.Option("--to", help="A new file, such as exploration.zip.")],
    deltas: Annotated[
        bool, typer.Option("--deltas", help="With the changed parameters of tuning runs.")
    ] = False,
):
    """Write runs, and the runs that they refer to, as one file that another explorer opens.

    Example: python -m ctsft bundle 20260131-101500-finetune-ab2c --to exploration.zip
    """
    from ctsft.jobs.bundle import write_bundle  # torch and transformers: not for --help

    written = write_bundle(run_ids, Path(to), deltas)
    more = len(written) - len(set(run_ids))
    print(f"{to}: {len(written)} runs" + (f", {more} of them referred to by others" * (more > 0)))


@app.command("explorations")
def list_or_act(
    action: Annotated[str, typer.Argument(help="list, open or remove.")] = "list",
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="A bundle to open, or an exploration to remove.")
    ] = "",
    as_json: AsJson = False,
):
    """List the explorations, open a bundle (.zip) as one, or remove one that was opened.

    Example: python -m ctsft explorations open exploration.zip
    """
    if action == "open":
        from ctsft.jobs.bundle import open_bundle

        opened = open_bundle(Path(name), opened=time.time())
        print(f"{opened.name}: {len(list(opened.runs.iterdir()))} runs")
    elif action == "remove":
        remove_exploration(find_exploration(name).name)
    elif action == "list":
        rows = [
            {
                "name": one.name,
                "from": one.origin,
                "runs": sum(run.path.parent == one.runs for run in runs.list_read_only()),
            }
            for one in explorations()
        ]
        lines = [f"{row['name']}  {row['from']}  {row['runs']} runs" for row in rows]
        print(json.dumps(rows, indent=1) if as_json else "\n".join(lines) or "There are none yet.")
    else:
        raise UserError(
            f"{action!r} is not an action of explorations; choose from list, open, remove."
        )
