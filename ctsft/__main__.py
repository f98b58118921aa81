"""Every job from the shell: `python -m ctsft accuracy|estimate|score|discover|faithfulness|validate|finetune|compare|runs|cache`.

Long jobs keep a run folder, print where, and may be stopped, watched and resumed from anywhere. Progress goes to stderr,
results to stdout (`--json` for machines). Exit codes: 0 done, 1 failed or stopped, 2 wrong input (one line says what to do).
"""
import contextlib
import json
import logging
import os
import sys
import time
from typing import Annotated, Optional

import typer
from pydantic import ValidationError
from tqdm import tqdm

from ctsft import places, processes, results, runs
from ctsft.errors import UserError

app = typer.Typer(help="Find the attention heads that carry a task, and tune only those.", no_args_is_help=True, add_completion=False,
                  pretty_exceptions_enable=False, rich_markup_mode=None)

ModelName = Annotated[str, typer.Option("--model", help='Hub name, local folder, or "demo" (bundled).')]
TaskName = Annotated[str, typer.Option("--task", help="demo, nusax, xnli, or the path of a task file (.json).")]
DataDir = Annotated[Optional[str], typer.Option("--data-dir", help="Folder of the task's files; without it they are fetched.")]
Language = Annotated[Optional[str], typer.Option("--language", help="Default: the task's source language.")]
Split = Annotated[str, typer.Option("--split", help="Split the pool is drawn from: train, valid or test.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, or map (spread over all).")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto (float32), float32, tf32, float64, bfloat16 or float16.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RunId = Annotated[Optional[str], typer.Option("--run", hidden=True)]
RunName = Annotated[str, typer.Option("--name", help="A name for the run, shown in tables.")]
Size = Annotated[int, typer.Option("--size", help="Examples of the discovery set.")]
Seed = Annotated[int, typer.Option("--pool-seed", help="Seed that draws the discovery set (and random circuits).")]
Attention = Annotated[str, typer.Option("--attention", help="softmax (decomposed) or frozen.")]
BatchTokens = Annotated[Optional[int], typer.Option("--batch-tokens", help="Token streams in flight; default: what is fast and fits.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Compute everything anew, and keep nothing of it in the cache.")]
Method = Annotated[str, typer.Option("--method", help="cdt, atp, ig or ablation.")]
Rules = Annotated[str, typer.Option("--rules", help="paper, or symmetric (cross terms shared evenly); cdt only.")]
MaxMemory = Annotated[Optional[str], typer.Option("--max-memory", help="What the process may use at its peak, such as 4GB; default: what is free.")]
Adaptive = Annotated[bool, typer.Option("--adaptive", help="Only as many examples a head as finding the top heads takes; cdt only.")]


def job(kind: str, run_id: str | None, as_json: bool, work, say, name: str = ""):
    """Run `work(run)` inside a run folder and print its summary."""
    from ctsft import jobs  # torch and transformers: not for --help and `runs`
    with contextlib.ExitStack() as stack:
        if processes.RANK:                   # the first process keeps the run folder and does the talking
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
            run = stack.enter_context(runs.shadow())
        else:
            run = stack.enter_context(runs.record(kind, sys.argv[1:], run_id=run_id, name=name))
        try:
            summary = work(jobs, run)
        except jobs.Stopped:             # no failure: the run is recorded as stopped
            summary = None
    if processes.RANK:
        return
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
          positions: Annotated[str, typer.Option(help="all or readout.")] = "all", rules: Rules = "paper",
          normalise: Annotated[str, typer.Option(help="none, or layer: in units of the layer's mean size.")] = "none",
          steps: Annotated[int, typer.Option(help="Gradients of ig.")] = 5, adaptive: Adaptive = False,
          k: Annotated[Optional[int], typer.Option(help="Heads an adaptive pass is to find; default: 2 %.")] = None,
          size: Size = 50, pool_seed: Seed = 0, max_memory: MaxMemory = None, batch_tokens: BatchTokens = None,
          preview: Annotated[bool, typer.Option(help="Attribution patching first.")] = False, no_cache: NoCache = False,
          device: Device = "auto", dtype: Dtype = "auto", name: RunName = "", as_json: AsJson = False, run: RunId = None):
    """Score every head on a discovery set of correctly predicted examples.

    Example: python -m ctsft score --model demo --task demo --language indonesian --method cdt --json
    """
    def say(summary):
        rows = [f"L{row['layer']}.H{row['head']:<3} {row['score']:+.4f} ± {row['stderr']:.4f}" for row in summary["heads"][:10]]
        return f"{summary['method']} on {summary['examples']} examples, the ten most relevant heads:\n" + "\n".join([*rows, *summary["notes"]])
    job("score", run, as_json, lambda jobs, folder: jobs.score(
        folder, jobs.Subject(model, task, data_dir, language, split, device, dtype),
        jobs.Scoring(size, pool_seed, method, attention, "magnitude" if magnitude else "signed", positions, batch_tokens, max_memory, rules,
                     normalise, adaptive, k, steps), preview, not no_cache),
        say, name)


@app.command()
def estimate(model: ModelName = "demo", task: TaskName = "demo", language: Language = None, split: Split = "train", data_dir: DataDir = None,
             method: Method = "cdt", attention: Attention = "softmax", rules: Rules = "paper", size: Size = 50, max_memory: MaxMemory = None,
             device: Device = "auto", dtype: Dtype = "auto", as_json: AsJson = False):
    """What a scoring pass would cost: operations, time and peak memory, from the model's shape and a second of calibration.

    Example: python -m ctsft estimate --model demo --task demo --method cdt
    """
    from ctsft.estimate import estimate_cost
    from ctsft.jobs import Scoring, Subject
    scoring = Scoring(size, method=method, attention=attention, rules=rules, max_memory=max_memory)
    loaded, opened, language = Subject(model, task, data_dir, language, split, device, dtype).open()
    rows = opened.pools(opened.load(language, split))[0][:size]
    found = estimate_cost(loaded, [opened.encode(loaded, row) for row in rows], method, **scoring.config)
    print(json.dumps(found.row(), indent=1) if as_json else found.text())


@app.command()
def discover(model: ModelName = "demo", task: TaskName = "demo", language: Language = None, split: Split = "train", data_dir: DataDir = None,
             depth: Annotated[int, typer.Option(help="Iterations behind the first: 0, 1, 2 ...")] = 1,
             fraction: Annotated[float, typer.Option(help="Share of all heads kept by each iteration.")] = 0.02,
             attention: Attention = "softmax", rules: Rules = "paper", adaptive: Adaptive = False, size: Size = 50, pool_seed: Seed = 0,
             max_memory: MaxMemory = None, batch_tokens: BatchTokens = None, no_cache: NoCache = False, device: Device = "auto",
             dtype: Dtype = "auto", name: RunName = "", as_json: AsJson = False,
             run: RunId = None):
    """Find a circuit: heads that act on the logits, then heads that act on those.

    Example: python -m ctsft discover --model demo --task demo --depth 1 --fraction 0.06
    """
    def say(summary):
        rows = [f"L{row['layer']}.H{row['head']:<3} {row['why']}" for row in summary["heads"]]
        return f"{len(rows)} heads:\n" + "\n".join([*rows, *summary["notes"]])
    job("discover", run, as_json, lambda jobs, folder: jobs.discover(
        folder, jobs.Subject(model, task, data_dir, language, split, device, dtype),
        jobs.Scoring(size, pool_seed, attention=attention, batch_tokens=batch_tokens, max_memory=max_memory, rules=rules, adaptive=adaptive),
        depth, fraction, not no_cache), say, name)


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
def validate(methods: Annotated[str, typer.Option(help="Rankings to check, such as 'cdt,cdt frozen,ig'; default: all.")] = "",
             rows: Annotated[int, typer.Option(help="Unseen rows that faithfulness is measured on, at most; 0: all.")] = 100,
             n_random: Annotated[int, typer.Option("--random", help="Random circuits of each size; 0: none.")] = 50,
             pools: Annotated[int, typer.Option(help="Discovery sets whose top heads are compared; 0: none.")] = 10,
             model: ModelName = "demo", task: TaskName = "demo", language: Language = None, split: Split = "train",
             rows_split: Annotated[str, typer.Option(help="Split of the unseen rows.")] = "valid", data_dir: DataDir = None,
             size: Size = 50, pool_seed: Seed = 0, device: Device = "auto", dtype: Dtype = "auto", name: RunName = "", as_json: AsJson = False,
             run: RunId = None):
    """Check how true the scores are: against mean ablation, against random circuits, and from pool to pool.

    Example: python -m ctsft validate --model demo --task demo --random 20 --pools 4
    """
    def say(summary):
        from ctsft.validation import table
        return table(summary) + ("\nstopped early" if summary["stopped"] else "")

    def work(jobs, folder):
        wanted = tuple(word.strip() for word in methods.split(",") if word.strip())
        checks = jobs.Checks(**({"methods": wanted} if wanted else {}), size=size, seed=pool_seed, rows=rows, n_random=n_random, pools=pools)
        return jobs.validate(folder, jobs.Subject(model, task, data_dir, language, split, device, dtype), checks, rows_split)
    job("validate", run, as_json, work, say, name)


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

    if not processes.alone():
        raise UserError(f"Tuning runs in one process, and {processes.COUNT} were started; use torchrun for score, discover and faithfulness.")

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


@app.command("cache")
def list_or_clear(action: Annotated[str, typer.Argument(help="list or clear.")] = "list",
                  kind: Annotated[str, typer.Argument(metavar="[KIND]", help="scores, means, traces or pools; default: all.")] = "",
                  as_json: AsJson = False):
    """List the answers that are kept on disk, or delete them: they are computed again when they are asked for.

    Example: python -m ctsft cache clear traces
    """
    if action not in ("list", "clear"):
        raise UserError(f"{action!r} is nothing that can be done with the cache; choose from list, clear.")
    if kind not in ("", *places.KINDS):
        raise UserError(f"{kind!r} is not a kind of answer; choose from {', '.join(places.KINDS)}, or none for all.")
    if action == "clear":
        count, freed = places.clear(kind)
        print(json.dumps({"answers": count, "bytes": freed}) if as_json else f"{counted(count)} deleted, {size_words(freed)} freed.")
        return
    rows = [{"kind": kept.kind, "model": kept.about["model"], "task": kept.about["task"], "what": kept.about["what"], "bytes": kept.bytes,
             "age": round(time.time() - kept.made), "path": str(kept.path)} for kept in places.entries() if kind in ("", kept.kind)]
    lines = [f"{row['kind']:7} {row['model']:24} {row['task']:12} {row['what']:20} {size_words(row['bytes']):>8}  {age_words(row['age']):>6}".rstrip()
             for row in rows]
    lines.append(f"{counted(len(rows))}, {size_words(sum(row['bytes'] for row in rows))} of at most {size_words(places.limit())}, in "
                 f"{places.cache_folder()}")
    print(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


def counted(count: int) -> str:
    return f"{count} answer{'' if count == 1 else 's'}"


def size_words(size: int) -> str:
    return tqdm.format_sizeof(size, "B")


def age_words(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    unit, name = next(pair for pair in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if seconds >= pair[0] or pair[0] == 1)
    return f"{max(seconds, 0) / unit:.0f} {name}"


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
    if processes.RANK == 0:
        print(f"ctsft: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
