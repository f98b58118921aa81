"""Progress of a job, stage by stage, and its summary."""

import json
import sys
from collections.abc import Callable

import torch
from tqdm import tqdm

import ctsft
from ctsft.data.prompt_tokens import prompt_notes
from ctsft.data.task import Example, Task, rows_hash
from ctsft.model.model import Model
from ctsft.runs.folder import write_json
from ctsft.runs.writer import Writer


class Stopped(Exception):
    """The run was stopped before there was anything to save."""


class Reporter:
    """Progress of one stage after another, to the run folder and to stderr; raises `Stopped` when a
    stop is asked for.
    """

    def __init__(self, run: Writer, stoppable: bool = True):
        self.run, self.stoppable = run, stoppable

    def stage(self, name: str) -> Callable[[float, float], None]:
        bar = tqdm(
            desc=name,
            total=1.0,
            file=sys.stderr,
            leave=True,
            mininterval=0.5,
            bar_format="{desc}: {percentage:3.0f}% {elapsed}<{remaining}",
            disable=not sys.stderr.isatty(),
        )
        if bar.disable:
            print(f"{name} ...", file=sys.stderr, flush=True)
        self.run.progress(0, 1, name)

        def report(done: float, total: float):
            self.run.progress(done, total, name)
            bar.update(done / total - bar.n)
            if done >= total:
                bar.close()
            if self.stoppable and self.run.stop_requested():
                bar.close()
                raise Stopped

        return report

    def later(self, name: str) -> Callable[[float, float], None]:
        """A stage that begins with its first report."""
        begun = []

        def report(done: float, total: float):
            if not begun:
                begun.append(self.stage(name))
            begun[0](done, total)

        return report

    def tell(self, name: str, notes: list[str]):
        for note in notes:
            print(f"{name}: {note}", file=sys.stderr, flush=True)


def tell_notes(model: Model, task: Task):
    """Print what was not used of the model's files, and how it reads the task's prompts."""
    for note in (*model.notes, *prompt_notes(model, task.prompt, task.max_length)):
        print(f"note: {note}", file=sys.stderr, flush=True)


def finish(run: Writer, summary: dict) -> dict:
    """Save a job's summary beside its results."""
    # JSON has no NaN: what is undefined is null
    summary = json.loads(json.dumps(summary), parse_constant=lambda word: None)
    write_json(run.file("result.json"), summary)
    return {"run": run.id, **summary}


def begin(run: Writer, model: Model, source: str, rows: dict[str, list[Example]]):
    """What determines the result beside the request goes into the run's facts."""
    run.add_facts(
        version=ctsft.__version__,
        torch=torch.__version__,
        model=model.name,
        model_fingerprint=model.fingerprint,
        data_fingerprints={name: rows_hash(examples) for name, examples in rows.items()},
        source=source,
    )
