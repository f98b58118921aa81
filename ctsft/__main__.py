"""Every job from the shell: `python -m ctsft accuracy|score|discover|faithfulness|finetune|compare|runs`.

Long jobs keep a run folder, print where, and may be stopped, watched and resumed from anywhere. Progress goes to stderr,
results to stdout (`--json` for machines). Exit codes: 0 done, 1 failed or stopped, 2 wrong input (one line says what to do).
"""
import json
import logging
import os
import sys
from typing import Annotated, Optional

import typer
from pydantic import ValidationError

from ctsft import results, runs
from ctsft.errors import UserError

app = typer.Typer(help="Find the attention heads that carry a task, and tune only those.", no_args_is_help=True, add_completion=False,
                  pretty_exceptions_enable=False, rich_markup_mode=None)

ModelName = Annotated[str, typer.Option("--model", help='Hub name, local folder, or "demo" (bundled).')]
TaskName = Annotated[str, typer.Option("--task", help="demo, nusax, xnli, or the path of a task file (.json).")]
DataDir = Annotated[Optional[str], typer.Option("--data-dir", help="Folder of the task's files; without it they are fetched.")]
Language = Annotated[Optional[str], typer.Option("--language", help="Default: the task's source language.")]
Split = Annotated[str, typer.Option("--split", help="Split the pool is drawn from: train, valid or test.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto (float32), float32, float64, bfloat16 or float16.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunId = Annotated[Optional[str], typer.Option("--run", hidden=True)]
RunName = Annotated[str, typer.Option("--name", help="A name for the run, shown in tables.")]
Size = Annotated[int, typer.Option("--size", help="Examples of the discovery set.")]
Seed = Annotated[int, typer.Option("--pool-seed", help="Seed that draws the discovery set (and random circuits).")]
Attention = Annotated[str, typer.Option("--attention", help="softmax (decomposed) or frozen.")]
BatchTokens = Annotated[int, typer.Option("--batch-tokens", help="Token streams in flight: bounds memory.")]
Method = Annotated[str, typer.Option("--method", help="cdt, atp or ablation.")]


def job(kind: str, run_id: str | None, as_json: bool, work, say, name: str = ""):
    """Run `work(run)` inside a run folder and print its summary."""
    from ctsft import jobs  # torch and transformers: not for --help and `runs`
    with runs.record(kind, sys.argv[1:], run_id=run_id, name=name) as run:
        try:
            summary = work(jobs, run)
        except jobs.Stopped:             # no failure: the run is recorded as stopped
            summary = None
    if summary is None:
        raise Halt(f"Run {run.id} was stopped before it had a result; start it again with `python -m ctsft runs resume {run.id}`.")
    print(json.dumps(summary, indent=1) if as_json else f"{say(summary)}\nrun {run.id}: {run.path}")


class Halt(Exception):
    """A stop that was asked for: not an error of anybody's, and not a result either."""


@app.command()
def accuracy(model: ModelName = "demo", task: TaskName = "demo", language: Language = None, split: Split = "test", data_dir: DataDir = None,
             device: Device = "auto", dtype: Dtype = "auto", as_json: AsJson = False):
    """Accuracy of a model on one language's rows.

    Example: python -m ctsft accuracy --model demo --task demo --language javanese
    """
    import ctsft
    from ctsft.jobs import Subject
    loaded, opened, language = Subject(model, task, data_dir, language, split, device, dtype).open()
    rows = opened.load(language, split)
    share = ctsft.accuracy(loaded, opened, rows)
    words = {"model": model, "task": task, "language": language, "split": split, "rows": len(rows), "accuracy": share,
             "chance": 1 / len(opened.labels)}
    print(json.dumps(words, indent=1) if as_json else f"{share:.3f} of {len(rows)} {language} {split} rows (chance {words['chance']:.3f})")


@app.command()
def score(model: ModelName = "demo", task: TaskName = "demo", language: Language = None, split: Split = "train", data_dir: DataDir = None,
          method: Method = "cdt", attention: Attention = "softmax", magnitude: Annotated[bool, typer.Option(help="Unsigned score.")] = False,
          positions: Annotated[str, typer.Option(help="all or readout.")] = "all", size: Size = 50, pool_seed: Seed = 0,
          batch_tokens: BatchTokens = 4096, preview: Annotated[bool, typer.Option(help="Attribution patching first.")] = False,
          device: Device = "auto", dtype: Dtype = "auto", name: RunName = "", as_json: AsJson = False, run: RunId = None):
    """Score every head on a discovery set of correctly predicted examples.

    Example: python -m ctsft score --model demo --task demo --language indonesian --method cdt --json
    """
    def say(summary):
        rows = [f"L{row['layer']}.H{row['head']:<3} {row['score']:+.4f} ± {row['stderr']:.4f}" for row in summary["heads"][:10]]
        return f"{summary['method']} on {summary['examples']} examples, the ten most relevant heads:\n" + "\n".join(rows)
    job("score", run, as_json, lambda jobs, folder: jobs.score(
        folder, jobs.Subject(model, task, data_dir, language, split, device, dtype),
        jobs.Scoring(size, pool_seed, method, attention, "magnitude" if magnitude else "signed", positions, batch_tokens), preview), say, name)


@app.command()
def discover(model: ModelName = "demo", task: TaskName = "demo", language: Language = None, split: Split = "train", data_dir: DataDir = None,
             depth: Annotated[int, typer.Option(help="Iterations behind the first: 0, 1, 2 ...")] = 1,
             fraction: Annotated[float, typer.Option(help="Share of all heads kept by each iteration.")] = 0.02,
             attention: Attention = "softmax", size: Size = 50, pool_seed: Seed = 0, batch_tokens: BatchTokens = 4096,
             device: Device = "auto", dtype: Dtype = "auto", name: RunName = "", as_json: AsJson = False, run: RunId = None):
    """Find a circuit: heads that act on the logits, then heads that act on those.

    Example: python -m ctsft discover --model demo --task demo --depth 1 --fraction 0.06
    """
    def say(summary):
        rows = [f"L{row['layer']}.H{row['head']:<3} {row['why']}" for row in summary["heads"]]
        return f"{len(rows)} heads:\n" + "\n".join(rows)
    job("discover", run, as_json, lambda jobs, folder: jobs.discover(
        folder, jobs.Subject(model, task, data_dir, language, split, device, dtype),
        jobs.Scoring(size, pool_seed, attention=attention, batch_tokens=batch_tokens), depth, fraction), say, name)


@app.command()
def faithfulness(scores: Annotated[str, typer.Option(help="Id of a scoring run, or a scores.safetensors beside its means.safetensors.")],
                 circuit: Annotated[Optional[str], typer.Option(help="A circuit file; without one: the curve over sizes.")] = None,
                 sizes: Annotated[str, typer.Option(help="Sizes of the curve, such as 1,2,4,8.")] = "",
                 n_random: Annotated[int, typer.Option("--random", help="Random circuits of each size.")] = 10,
                 model: ModelName = "demo", task: TaskName = "demo", language: Language = None,
                 split: Annotated[str, typer.Option("--split", help="Rows it is measured on.")] = "valid", data_dir: DataDir = None,
                 device: Device = "auto", dtype: Dtype = "auto", name: RunName = "", as_json: AsJson = False, run: RunId = None):
    """How much of the task a circuit keeps when every other head gives its mean.

    Example: python -m ctsft faithfulness --scores RUN --sizes 1,2,4,8 --random 20
    """
    def say(summary):
        if "points" not in summary:
            return f"faithfulness {ratio(summary['accuracy'])} by accuracy, {ratio(summary['margin'])} by margin ({summary['rows']} rows)"
        return "\n".join(f"{row['size']:4d} heads  {ratio(row['accuracy'])} by accuracy  {ratio(row['margin'])} by margin"
                         for row in summary["points"] if row["kind"] == "ranked")
    try:
        wanted = [int(size) for size in sizes.split(",") if size.strip()]
    except ValueError:
        raise UserError(f"--sizes {sizes!r} is not a list of numbers; write it like 1,2,4,8.") from None
    job("faithfulness", run, as_json, lambda jobs, folder: jobs.measure_faithfulness(
        folder, jobs.Subject(model, task, data_dir, language, split, device, dtype), scores, circuit, split, wanted, n_random), say, name)


def ratio(value: float | None) -> str:
    return "undefined (the full and the empty model agree)" if value is None else f"{value:.3f}"


@app.command()
def finetune(target: Annotated[str, typer.Option(help="Language to tune on; the source itself for competence tuning.")],
             what: Annotated[str, typer.Option(help="circuit, near_zero, least, random, norms or full.")] = "circuit",
             circuit: Annotated[Optional[str], typer.Option(help="A circuit file for --what circuit.")] = None,
             scores: Annotated[Optional[str], typer.Option(help="Scoring run or file that --k heads are chosen from; default: score first.")] = None,
             k: Annotated[int, typer.Option(help="Heads chosen from the scores.")] = 6,
             n: Annotated[int, typer.Option(help="Labelled target rows; 0: all.")] = 50,
             epochs: float = 5, lr: float = 5e-5, batch: int = 16, seed: int = 31, weight_decay: float = 0.0, max_grad_norm: float = 1.0,
             eval_every: Annotated[int, typer.Option(help="Steps between evaluations; 0: ten in a run.")] = 0,
             checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints; 0: only when stopped.")] = 0,
             eval_split: Annotated[str, typer.Option(help="Rows that accuracy is measured on.")] = "test",
             save_model: Annotated[bool, typer.Option(help="Keep the tuned model as a Hugging Face folder in the run.")] = False,
             model: ModelName = "demo", task: TaskName = "demo",
             language: Annotated[Optional[str], typer.Option("--language", help="The source language, which should stay.")] = None,
             split: Split = "train", data_dir: DataDir = None, size: Size = 50, pool_seed: Seed = 0, method: Method = "cdt",
             attention: Attention = "softmax", device: Device = "auto", dtype: Dtype = "auto", name: RunName = "",
             as_json: AsJson = False, run: RunId = None):
    """Tune a circuit (or a control) on a target language and watch source and target accuracy.

    Example: python -m ctsft finetune --target javanese --what circuit --k 6 --n 50 --epochs 10 --lr 3e-3
    """
    def say(summary):
        first, last = summary["history"][0]["accuracy"], summary["history"][-1]["accuracy"]
        rows = [f"{name:14} {first[name]:.3f} -> {last[name]:.3f}" for name in first]
        share = f"{summary['trainable']:,} of {summary['total']:,} numbers moved ({summary['trainable'] / summary['total']:.2%})"
        return "\n".join([f"{summary['what']}: {share}{', stopped early' if summary['stopped'] else ''}", *rows])

    def work(jobs, folder):
        config = jobs.TuneConfig(epochs=epochs, learning_rate=lr, batch_size=batch, seed=seed, weight_decay=weight_decay,
                                 max_grad_norm=max_grad_norm, eval_every=eval_every, checkpoint_every=checkpoint_every)
        return jobs.tune(folder, jobs.Subject(model, task, data_dir, language, split, device, dtype),
                         jobs.Scoring(size, pool_seed, method, attention),
                         jobs.Tuning(target, what, circuit, scores, k, n, eval_split, save_model), config)
    job("finetune", run, as_json, work, say, name)


@app.command()
def compare(as_json: AsJson = False, as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False):
    """All fine-tuning runs: what moved, and both accuracies before and after.

    Example: python -m ctsft compare --csv > runs.csv
    """
    rows = results.compare()
    print(json.dumps(rows, indent=1) if as_json else results.table_csv(rows).rstrip() if as_csv else results.table_text(rows))


@app.command("runs")
def list_or_act(action: Annotated[str, typer.Argument(help="list, show, stop, discard, resume or delete.")] = "list",
                run_id: Annotated[str, typer.Argument(metavar="[ID]")] = "", as_json: AsJson = False):
    """List runs, or show, stop (keeping what is done), discard, resume or delete one.

    Example: python -m ctsft runs show 20260131-101500-score-ab2c
    """
    if action == "list":
        rows = [{"run": run.id, "kind": run.request.kind, "state": run.status().state, "progress": run.status().progress,
                 "message": run.status().message} for run in runs.list_runs()]
        lines = [f"{row['run']}  {row['state']:8} {row['progress']:4.0%}  {row['message']}".rstrip() for row in rows]
        print(json.dumps(rows, indent=1) if as_json else "\n".join(lines) or "There are no runs yet.")
        return
    actions = {"show": show, "stop": lambda run: runs.stop(run, "keep"), "discard": lambda run: runs.stop(run, "discard"), "resume": runs.resume,
               "delete": runs.delete}
    if action not in actions:
        raise UserError(f"{action!r} is nothing that can be done with a run; choose from list, {', '.join(actions)}.")
    actions[action](runs.get(run_id))


def show(run: runs.Run):
    words = {"status": run.status().model_dump(), "command": runs.shell_command(run.request), "request": run.request.model_dump(),
             "folder": str(run.path), "result": results.result(run)}
    print(json.dumps(words, indent=1))
    if run.status().state in ("failed", "lost"):
        print(run.log_tail(), file=sys.stderr)


def main(words: list[str] | None = None) -> int:
    """Exit code; every error is one line on stderr."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        code = app(words, standalone_mode=False) or 0
        return fail("Interrupted; what was saved by then is kept.", 1) if code == 130 else code      # typer's word for KeyboardInterrupt
    except typer.TyperException as error:            # a usage error
        return fail(f"{error.format_message().rstrip('.')}. See `python -m ctsft --help`.", 2)
    except ValidationError as error:
        first = error.errors()[0]
        return fail(f"{'.'.join(map(str, first['loc']))} = {first['input']!r} cannot be used: {first['msg'].lower()}.", 2)
    except UserError as error:
        return fail(str(error), 2)
    except (KeyboardInterrupt, Halt) as error:
        return fail(str(error) or "Interrupted; what was saved by then is kept.", 1)
    except Exception as error:  # the run's log has the traceback
        return fail(f"It failed with {type(error).__name__}: {' '.join(str(error).split())[:300]} (traceback in the run's log.txt).", 1)


def fail(sentence: str, code: int) -> int:
    print(f"ctsft: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
