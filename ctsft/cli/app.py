"""What the shell's commands share: the program and the options that several commands take."""

from typing import Annotated, Optional

import typer

import ctsft

app = typer.Typer(
    help="Find the attention heads that carry a task, and tune only those.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def print_version(wanted: bool):
    if wanted:
        print(f"ctsft {ctsft.__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=print_version
        ),
    ] = False,
):
    """What stands before a command: its own options only."""


ModelName = Annotated[
    str, typer.Option("--model", help='Hub name, local folder, or "demo" (bundled).')
]

TaskName = Annotated[
    str, typer.Option("--task", help="demo, nusax, xnli, or the path of a task file (.json).")
]

DataDir = Annotated[
    Optional[str],
    typer.Option("--data-dir", help="Folder of the task's files; without it they are fetched."),
]

Language = Annotated[
    Optional[str], typer.Option("--language", help="Default: the task's source language.")
]

Split = Annotated[
    str, typer.Option("--split", help="Split the pool is drawn from: train, valid or test.")
]

Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, mps, or map (spread over all).")
]

Dtype = Annotated[
    str,
    typer.Option("--dtype", help="auto (float32), float32, tf32, float64, bfloat16 or float16."),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunName = Annotated[str, typer.Option("--name", help="A name for the run, shown in tables.")]
Size = Annotated[int, typer.Option("--size", help="Examples of the discovery set.")]

Seed = Annotated[
    int,
    typer.Option("--pool-seed", help="Seed that draws the discovery set (and random circuits)."),
]

Attention = Annotated[str, typer.Option("--attention", help="softmax (decomposed) or frozen.")]

BatchTokens = Annotated[
    Optional[int],
    typer.Option("--batch-tokens", help="Token streams in flight; default: what is fast and fits."),
]

NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Compute everything again, and store nothing in the cache."),
]

Method = Annotated[str, typer.Option("--method", help="cdt, atp, ig, ablation or learned.")]

Rules = Annotated[
    str, typer.Option("--rules", help="paper, or symmetric (cross terms shared evenly); cdt only.")
]

MaxMemory = Annotated[
    Optional[str],
    typer.Option(
        "--max-memory",
        help="What the process may use at its peak, such as 4GB; default: what is free.",
    ),
]

Adaptive = Annotated[
    bool,
    typer.Option(
        "--adaptive", help="Only as many examples a head as finding the top heads takes; cdt only."
    ),
]


class Halt(Exception):
    """A stop that was requested: neither an error nor a result."""
