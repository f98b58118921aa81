"""The shell's commands that change a model: finetune, and compare for what came of it."""

import json
from typing import Annotated, Optional

import typer

from ctsft.cli.app import (
    AsJson,
    Attention,
    DataDir,
    Device,
    Dtype,
    Method,
    ModelName,
    RunName,
    Seed,
    Size,
    Split,
    TaskName,
    app,
)
from ctsft.cli.run import execute
from ctsft.tuning.recipes import RECIPES


@app.command()
def finetune(
    target: Annotated[
        str, typer.Option(help="Language to tune on; the source itself for competence tuning.")
    ],
    what: Annotated[
        str,
        typer.Option(
            help="; ".join(f"{name}: {one.description}" for name, one in RECIPES.items()) + "."
        ),
    ] = "circuit",
    circuit: Annotated[
        Optional[str],
        typer.Option(help="A circuit file for --what circuit, edited or lora_circuit."),
    ] = None,
    scores: Annotated[
        Optional[str],
        typer.Option(
            help="Scoring run or file that --k heads are chosen from; default: score first."
        ),
    ] = None,
    advice: Annotated[
        Optional[str],
        typer.Option(
            help="Advice run or advice.csv that --what advised picks its --k heads by; default: "
            "advice on the run's own rows."
        ),
    ] = None,
    k: Annotated[int, typer.Option(help="Heads chosen from scores or advice.")] = 6,
    n: Annotated[
        int,
        typer.Option(
            "--n", "--rows", help="Labelled target rows; 0: all. (torchrun takes --n for its own.)"
        ),
    ] = 50,
    epochs: float = 5,
    lr: float = 5e-5,
    batch: int = 16,
    seed: int = 31,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    hold: Annotated[
        float,
        typer.Option(
            help="Hold the source: after each step, pull parameters back to the checkpoint where"
            " source rows need them; 0: off, 9: usual."
        ),
    ] = 0.0,
    replay: Annotated[
        int, typer.Option(help="Labelled source rows among the target's; as many rows are read.")
    ] = 0,
    ewc: Annotated[
        float, typer.Option(help="Control of --hold: as a term of the loss (weight of EWC).")
    ] = 0.0,
    l2: Annotated[
        float, typer.Option("--l2", help="Control of --hold: the same pull on every parameter.")
    ] = 0.0,
    kl: Annotated[
        float,
        typer.Option(
            help="Control of --hold: divergence from the answers before, on source texts."
        ),
    ] = 0.0,
    base: Annotated[
        Optional[str],
        typer.Option(help="The model before its competence stage, for --what direct."),
    ] = None,
    kv: Annotated[
        str,
        typer.Option(
            help=("Key/value rows: group (shared ones are trained), or expand (one for each head).")
        ),
    ] = "group",
    norms: Annotated[bool, typer.Option(help="Train the norms beside the heads.")] = True,
    extra: Annotated[
        Optional[list[str]],
        typer.Option(help="Further parameters to train, by a pattern such as '*.mlp.down_proj.*'."),
    ] = None,
    accumulate: Annotated[int, typer.Option(help="Batches whose gradients make one step.")] = 1,
    precision: Annotated[
        str, typer.Option(help="full, or bf16 (bfloat16 autocast in training).")
    ] = "full",
    lora_rank: int = 8,
    lora_alpha: float = 16.0,
    lora_targets: Annotated[
        str, typer.Option(help="Maps that adapters go to: q, k, v, o, gate, up, down, with commas.")
    ] = "q,v",
    report_to: Annotated[
        str, typer.Option(help="none, trackio, wandb or tensorboard: where curves are sent too.")
    ] = "none",
    eval_every: Annotated[
        int, typer.Option(help="Steps between evaluations; 0: ten in a run.")
    ] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps between checkpoints; 0: at each evaluation.")
    ] = 0,
    eval_split: Annotated[
        str, typer.Option(help="Rows that the curves are measured on while it is tuned.")
    ] = "valid",
    final_split: Annotated[
        str,
        typer.Option(
            help="Rows of the final figure, measured before and after; '': those of the curves."
        ),
    ] = "test",
    related: Annotated[str, typer.Option(help="Further languages to measure, with commas.")] = "",
    related_task: Annotated[
        Optional[list[str]],
        typer.Option(
            help="A further task that is measured: a task file or name, and :LANGUAGE where it is"
            " not its source language. Can be repeated."
        ),
    ] = None,
    perplexity: Annotated[
        bool,
        typer.Option(
            "--perplexity",
            help="Measure the perplexity of the source rows' texts too, as general ability.",
        ),
    ] = False,
    text: Annotated[
        Optional[str],
        typer.Option(help="A text file whose lines the perplexity is of, in place of the rows."),
    ] = None,
    pool: Annotated[
        str, typer.Option(help="Target rows: all, or pool B (rows whose ids discovery never saw).")
    ] = "all",
    save_model: Annotated[
        bool, typer.Option(help="Save the tuned model as a Hugging Face folder in the run.")
    ] = False,
    shares: Annotated[
        bool,
        typer.Option(help="Measure eleven shares of the change on validation rows afterwards."),
    ] = True,
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Annotated[
        Optional[str], typer.Option("--language", help="The source language, which should stay.")
    ] = None,
    split: Split = "train",
    data_dir: DataDir = None,
    size: Size = 50,
    pool_seed: Seed = 0,
    method: Method = "cdt",
    attention: Attention = "softmax",
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Tune a circuit (or a control) on a target language and watch source and target accuracy.

    Example: python -m ctsft finetune --target javanese --what circuit --k 6 --n 50 --epochs 10 --lr
    3e-3
    """

    from ctsft.jobs.requests import FinetuneRequest, Scoring, Subject, TuneConfig, Tuning

    config = TuneConfig(
        epochs=epochs,
        learning_rate=lr,
        batch_size=batch,
        accumulate=accumulate,
        seed=seed,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        hold=hold,
        replay=replay,
        ewc=ewc,
        l2=l2,
        kl=kl,
        precision=precision,
        kv=kv,
        norms=norms,
        extra=tuple(extra or ()),
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        lora_targets=tuple(lora_targets.split(",")),
        eval_every=eval_every,
        checkpoint_every=checkpoint_every,
        report_to=report_to,
    )
    tuning = Tuning(
        target=target,
        what=what,
        circuit=circuit,
        scores=scores,
        k=k,
        n=n,
        eval_split=eval_split,
        save_model=save_model,
        related=tuple(filter(None, related.split(","))),
        final_split=final_split or None,
        pool=pool,
        base=base,
        advice=advice,
        shares=shares,
        related_tasks=tuple(related_task or ()),
        perplexity=perplexity or text is not None,
        text=text,
    )
    request = FinetuneRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        scoring=Scoring(size, pool_seed, method, attention),
        tuning=tuning,
        config=config,
    )
    execute(request, as_json)


@app.command()
def compare(
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
):
    """All fine-tuning runs: what was trained, and both accuracies before and after.

    Example: python -m ctsft compare --csv > runs.csv
    """
    from ctsft.jobs import tuning_table  # torch and transformers: not for --help

    rows = tuning_table.table_rows()
    print(
        json.dumps(rows, indent=1)
        if as_json
        else tuning_table.table_csv(rows).rstrip()
        if as_csv
        else tuning_table.table_text(rows)
    )
