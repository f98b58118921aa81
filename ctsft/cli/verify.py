"""The shell's command that computes the figures of an artefact again."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from ctsft.cli.app import AsJson, app
from ctsft.utils.errors import UserError


@app.command()
def verify(
    path: Annotated[
        str,
        typer.Argument(
            help="A report (.html), bundle (.zip), run, folder of runs, documents (.md)."
        ),
    ],
    sample: Annotated[
        Optional[int], typer.Option("--sample", help="So many figures at random; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the sample.")] = 0,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also run the model again, where it is on this machine."),
    ] = False,
    runs: Annotated[
        Optional[str],
        typer.Option("--runs", help="Where a report's runs lie: a folder or a bundle (.zip)."),
    ] = None,
    as_json: AsJson = False,
):
    """Compute figures again from what is stored: equal, different or not recomputable. The exit
    code is 1 where one differs.

    Example: python -m ctsft verify exploration.html --sample 50
    """
    from ctsft.receipts.verify import Settings  # torch: not for --help
    from ctsft.receipts.verify import verify as verified

    if sample is not None and sample < 1:
        raise UserError(f"--sample is {sample}; draw at least 1 figure.")
    settings = Settings(sample, seed, deep, None if runs is None else Path(runs))
    verification = verified(path, settings)
    print(json.dumps(verification.as_dict(), indent=1) if as_json else verification.text())
    if verification.counts["different"]:
        raise typer.Exit(1)
