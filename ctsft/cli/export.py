"""The shell's commands for what comes out of tuning: export, expand, and deltas side by side."""

import json
import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from ctsft.cli.app import (
    AsJson,
    Attention,
    Dtype,
    Method,
    ModelName,
    NoCache,
    Rules,
    RunName,
    Seed,
    Size,
    app,
)
from ctsft.cli.run import execute
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError

To = Annotated[str, typer.Option("--to", help="A new folder.")]
Share = Annotated[
    float,
    typer.Option(help="How much of the change is applied: 0 (the model before) to 1 (all of it)."),
]


@app.command()
def export(
    run_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of a fine-tuning run; importances: of a scoring run."
        ),
    ],
    to: Annotated[Optional[str], typer.Option("--to", help="A new folder.")] = None,
    share: Share = 1.0,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help=(
                "model (merged), peft (a LoRA adapter), delta, circuit, or importances (scores, as"
                " MIB's circuit track reads them)."
            ),
        ),
    ] = "model",
    push: Annotated[
        Optional[str],
        typer.Option(help="A repository of the hub, such as you/tuned; first `hf auth login`."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A repository that is made is private.")
    ] = False,
    lm_eval: Annotated[
        str,
        typer.Option(
            help="Tasks of lm-evaluation-harness, with commas, that the written model is evaluated"
            ' on (pip install "ctsft[lm-eval]").'
        ),
    ] = "",
):
    """Write a run's tuned model, or a share of its change, as an ordinary Hugging Face folder with
    a model card; or its change as an adapter that plain peft loads; or upload them to the hub; or
    evaluate it with lm-evaluation-harness. Or write the scores of a scoring run for MIB.

    Example: python -m ctsft export 20260131-101500-finetune-ab2c --to tuned
    Example: python -m ctsft export 20260131-101500-finetune-ab2c --format peft --push you/tuned
    Example: python -m ctsft export 20260131-101500-score-ab2c --format importances --to ioi_gpt2
    """
    from ctsft.jobs.export import export as write  # torch and transformers: not for --help
    from ctsft.jobs.export import push as upload
    from ctsft.jobs.harness import FILE, check_harness, harness_text, run_harness
    from ctsft.jobs.requests import EXPORT_FORMS

    if form not in EXPORT_FORMS:
        raise UserError(f"{form!r} is no format; choose from {', '.join(EXPORT_FORMS)}.")
    if not to and not push:
        raise UserError("Name a new folder with --to, or a repository of the hub with --push.")
    if lm_eval:
        check_harness(form)
        if not to:
            raise UserError("Name the new folder that is evaluated with --to.")
    if to:
        print(write(run_id, to, share, form))
    if lm_eval:
        measured = run_harness(Path(to), list(filter(None, lm_eval.split(","))))
        write_text(Path(to) / FILE, json.dumps(measured, indent=1), "the harness's figures")
        print(harness_text(measured))
    if push:
        print(upload(run_id, push, share, form, private))


@app.command()
def rescore(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a fine-tuning run.")],
    k: Annotated[int, typer.Option(help="Top heads that are followed.")] = 6,
    size: Size = 50,
    pool_seed: Seed = 0,
    method: Method = "cdt",
    attention: Attention = "softmax",
    rules: Rules = "paper",
    positions: Annotated[str, typer.Option(help="Where heads are split: all, or readout.")] = "all",
    no_cache: NoCache = False,
    name: RunName = "",
    as_json: AsJson = False,
):
    """Score a tuned model's heads on the same examples as before: did the circuit change?

    Example: python -m ctsft rescore 20260131-101500-finetune-ab2c --k 6
    """

    from ctsft.jobs.requests import RescoreRequest, Scoring

    scoring = Scoring(size, pool_seed, method, attention, positions=positions, rules=rules)
    request = RescoreRequest(name=name, tuned=run_id, scoring=scoring, k=k, cache=not no_cache)
    execute(request, as_json)


@app.command()
def undo(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a fine-tuning run.")],
    heads: Annotated[
        str,
        typer.Option(help="Heads to undo, as in L2.H1,L0.H3; default: the cheapest damage."),
    ] = "",
    most: Annotated[
        int, typer.Option(help="Heads that are undone one by one; 0: all that were trained.")
    ] = 0,
    step: Annotated[int, typer.Option(help="Heads between two measurements of a path.")] = 1,
    most_lost: Annotated[
        float, typer.Option(help="Share of the target's gain that may be lost.")
    ] = 0.2,
    most_undone: Annotated[
        float, typer.Option(help="Share of the trained numbers that may be given back.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(help="Draws the random order to compare with.")] = 31,
    final_split: Annotated[
        str, typer.Option(help="Rows of the final figures, measured once; '': none.")
    ] = "test",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Give heads of a tuned model their old weights back, and measure what that regains.

    Example: python -m ctsft undo 20260131-101500-finetune-ab2c --heads L2.H1,L0.H3
    """
    from ctsft.jobs.requests import UndoRequest

    named = tuple(filter(None, (part.strip() for part in heads.split(","))))
    request = UndoRequest(
        name=name,
        tuned=run_id,
        heads=named,
        most=most,
        step=step,
        most_lost=most_lost,
        most_undone=most_undone,
        seed=seed,
        final_split=final_split or None,
    )
    execute(request, as_json)


@app.command()
def expand(to: To, model: ModelName = "demo", dtype: Dtype = "auto"):
    """Write an equal model in which each query head owns its key/value rows, as an ordinary Hugging
    Face folder.

    Example: python -m ctsft expand --model demo --to demo-expanded
    """
    from ctsft.jobs.export import save_folder
    from ctsft.model.kv_expansion import expand as expanded
    from ctsft.model.loading import load_model

    if Path(to).exists():
        raise UserError(f"{to!r} exists; name a new folder with --to.")
    save_folder(expanded(load_model(model, "cpu", dtype)), Path(to))
    print(to)


@app.command()
def deltas(
    files: Annotated[
        list[str],
        typer.Argument(help="delta.safetensors files, or ids of runs, of one base model."),
    ],
    model: ModelName = "demo",
    add: Annotated[Optional[str], typer.Option(help="Write the sum of all to this file.")] = None,
    scale: Annotated[
        Optional[str], typer.Option(help="Write a share of one delta to this file.")
    ] = None,
    share: Share = 1.0,
    head_share: Annotated[
        Optional[list[str]],
        typer.Option(help="A share of one head, such as L2.H1=0 to give it back its old weights."),
    ] = None,
    dtype: Dtype = "auto",
    as_json: AsJson = False,
):
    """Compare two deltas head by head (norms of each head's change, and their cosine), add several,
    or write a share of one.

    Example: python -m ctsft deltas RUN RUN --model demo
    Example: python -m ctsft deltas RUN --share 0.5 --scale half.safetensors
    """
    from ctsft.model.loading import load_model
    from ctsft.runs.run_list import get
    from ctsft.tuning.delta_comparison import add_deltas, compare_deltas

    if not add and not scale and len(files) != 2:
        raise UserError(
            f"Two deltas can be compared, and {len(files)} came; name two, or write a sum with"
            " --add."
        )
    paths = [
        name if name.endswith(".safetensors") else get(name).file("delta.safetensors")
        for name in files
    ]
    if scale:
        print(scaled(paths, share, head_share or [], scale))
        return
    base = load_model(model, "cpu", dtype)
    if add:
        total = add_deltas(base, paths, add)
        print(
            json.dumps({"numbers": total.size, "file": add})
            if as_json
            else f"{total.size:,} parameters in {add}"
        )
        return
    rows = compare_deltas(base, *paths)
    lines = [f"{'head':8} {'first':>9} {'second':>9} {'cosine':>7}"]
    for row in rows:
        if row["first"] or row["second"]:
            name = row["head"] if row["layer"] is None else f"L{row['layer']}.H{row['head']}"
            cosine = "" if row["cosine"] is None else f"{row['cosine']:.3f}"
            lines.append(f"{name:8} {row['first']:9.4f} {row['second']:9.4f} {cosine:>7}".rstrip())
    print(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


def scaled(paths: list, share: float, head_shares: list[str], to: str) -> str:
    """Write a share of one delta; returns the file. UserError for several, or a head's share that
    is not written as L2.H1=0.5.
    """
    from ctsft.tuning.delta import Delta

    if len(paths) != 1:
        raise UserError(f"A share is of one delta, and {len(paths)} came; name one.")
    heads = {}
    for text in head_shares:
        match = re.fullmatch(r"L(\d+)\.H(\d+)=([\d.]+)", text)
        if not match:
            raise UserError(f"{text!r} is not the share of a head; write one such as L2.H1=0.5.")
        heads[int(match[1]), int(match[2])] = float(match[3])
    Delta.load(paths[0]).scaled(share).scaled(heads).save(to)
    return to
