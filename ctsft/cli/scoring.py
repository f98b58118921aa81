"""The shell's commands that look at a model: accuracy, estimate, score, discover."""

import json
from typing import Annotated, Optional

import typer

from ctsft.cli.app import (
    Adaptive,
    AsJson,
    Attention,
    BatchTokens,
    DataDir,
    Device,
    Dtype,
    Language,
    MaxMemory,
    Method,
    ModelName,
    NoCache,
    Rules,
    RunName,
    Seed,
    Size,
    Split,
    TaskName,
    app,
)
from ctsft.cli.run import execute


@app.command()
def accuracy(
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Split = "test",
    data_dir: DataDir = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
):
    """Accuracy of a model on one language's rows.

    Example: python -m ctsft accuracy --model demo --task demo --language javanese
    """
    import ctsft
    from ctsft.jobs.requests import Subject

    loaded, opened, language = Subject(model, task, data_dir, language, split, device, dtype).open()
    rows = opened.load(language, split)
    share = ctsft.accuracy(loaded, opened, rows)
    summary = {
        "model": model,
        "task": task,
        "language": language,
        "split": split,
        "rows": len(rows),
        "accuracy": share,
        "chance": 1 / len(opened.labels),
    }
    print(
        json.dumps(summary, indent=1)
        if as_json
        else f"{share:.3f} of {len(rows)} {language} {split} rows (chance {summary['chance']:.3f})"
    )


@app.command()
def score(
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Split = "train",
    data_dir: DataDir = None,
    method: Method = "cdt",
    attention: Attention = "softmax",
    magnitude: Annotated[bool, typer.Option(help="Unsigned score.")] = False,
    positions: Annotated[
        str, typer.Option(help="all, readout, or each: all, and then --by-position.")
    ] = "all",
    by_position: Annotated[
        bool, typer.Option("--by-position", help="Then the first heads at each position in turn.")
    ] = False,
    heads: Annotated[
        str, typer.Option(help="Heads for --by-position, as L2.H1,L0.H3; default: the first --k.")
    ] = "",
    rules: Rules = "paper",
    normalise: Annotated[
        str, typer.Option(help="none, or layer: in units of the layer's mean size.")
    ] = "none",
    steps: Annotated[int, typer.Option(help="Gradients of ig.")] = 5,
    objective: Annotated[
        str, typer.Option(help="Of learned: match (as the whole model) or strength.")
    ] = "match",
    passes: Annotated[
        int, typer.Option(help="Forward passes over the texts that learned may cost.")
    ] = 100,
    roles: Annotated[
        bool,
        typer.Option(
            "--roles", help="Then each head's role: facilitating, interfering, irrelevant."
        ),
    ] = False,
    adaptive: Adaptive = False,
    certified: Annotated[
        bool,
        typer.Option(
            "--certified", help="The top heads of ablation with a stated confidence; ablation only."
        ),
    ] = False,
    k: Annotated[
        Optional[int],
        typer.Option(help="Heads of an adaptive or certified pass (2 %), or of --by-position (5)."),
    ] = None,
    size: Size = 50,
    pool_seed: Seed = 0,
    max_memory: MaxMemory = None,
    batch_tokens: BatchTokens = None,
    preview: Annotated[bool, typer.Option(help="Attribution patching first.")] = False,
    no_cache: NoCache = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Score every head on a discovery set of correctly predicted examples.

    Example: python -m ctsft score --model demo --task demo --language indonesian --method cdt
    --json
    """

    from ctsft.jobs.requests import ScoreRequest, Scoring, Subject

    names = tuple(name.strip() for name in heads.split(",") if name.strip())
    request = ScoreRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        scoring=Scoring(
            size=size,
            seed=pool_seed,
            method=method,
            attention=attention,
            score="magnitude" if magnitude else "signed",
            positions="all" if positions == "each" else positions,
            batch_tokens=batch_tokens,
            max_memory=max_memory,
            rules=rules,
            normalise=normalise,
            adaptive=adaptive,
            certified=certified,
            k=k,
            steps=steps,
            objective=objective,
            passes=passes,
        ),
        preview=preview,
        by_position=by_position or positions == "each" or bool(heads),
        heads=names,
        roles=roles,
        cache=not no_cache,
    )
    execute(request, as_json)


@app.command()
def estimate(
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Split = "train",
    data_dir: DataDir = None,
    method: Method = "cdt",
    attention: Attention = "softmax",
    rules: Rules = "paper",
    size: Size = 50,
    max_memory: MaxMemory = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
):
    """What a scoring pass would cost: operations, time and peak memory, from the model's shape and
    a second of calibration.

    Example: python -m ctsft estimate --model demo --task demo --method cdt
    """
    from ctsft.attribution.cost_estimate import estimate_cost
    from ctsft.jobs.requests import Scoring, Subject

    scoring = Scoring(size, method=method, attention=attention, rules=rules, max_memory=max_memory)
    loaded, opened, language = Subject(model, task, data_dir, language, split, device, dtype).open()
    rows = opened.pools(opened.load(language, split))[0][:size]
    estimated = estimate_cost(
        loaded, [opened.encode(loaded, row) for row in rows], method, **scoring.config
    )
    print(json.dumps(estimated.row(), indent=1) if as_json else estimated.text())


@app.command()
def discover(
    model: ModelName = "demo",
    task: TaskName = "demo",
    language: Language = None,
    split: Split = "train",
    data_dir: DataDir = None,
    depth: Annotated[int, typer.Option(help="Iterations behind the first: 0, 1, 2 ...")] = 1,
    fraction: Annotated[
        float, typer.Option(help="Share of all heads that each iteration selects.")
    ] = 0.02,
    attention: Attention = "softmax",
    rules: Rules = "paper",
    adaptive: Adaptive = False,
    size: Size = 50,
    pool_seed: Seed = 0,
    max_memory: MaxMemory = None,
    batch_tokens: BatchTokens = None,
    no_cache: NoCache = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: RunName = "",
    as_json: AsJson = False,
):
    """Find a circuit: heads that act on the logits, then heads that act on those.

    Example: python -m ctsft discover --model demo --task demo --depth 1 --fraction 0.06
    """

    from ctsft.jobs.requests import DiscoverRequest, Scoring, Subject

    request = DiscoverRequest(
        name=name,
        subject=Subject(model, task, data_dir, language, split, device, dtype),
        scoring=Scoring(
            size=size,
            seed=pool_seed,
            attention=attention,
            batch_tokens=batch_tokens,
            max_memory=max_memory,
            rules=rules,
            adaptive=adaptive,
        ),
        depth=depth,
        fraction=fraction,
        cache=not no_cache,
    )
    execute(request, as_json)
