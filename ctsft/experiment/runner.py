"""The experiment: every trial of a design, each once, in this process or a few workers; then the
tables.

The folder of an experiment's run holds `design.json` (what a resumed run goes on with), the shared
scores, an event a trial, the choice of learning rates (`choices.json`) and the tables. A trial of
the result has a run folder of its own whose id follows from the experiment's id and the trial, so
that a finished one is never run again; grid trials, which only choose a learning rate, are only
events. A trial that fails is recorded and does not end the others; a resumed experiment tries it
again.
"""

import json
import sys
import time
from collections.abc import Iterator

from ctsft.experiment.results import conclude
from ctsft.experiment.trials import TrialContext, finished, scoring_of, subject_of
from ctsft.experiment.workers import in_this_process, in_worker_processes
from ctsft.jobs.experiment_design import Design, Trial, choose_rates
from ctsft.jobs.reporter import Reporter, Stopped, begin
from ctsft.jobs.requests import ExperimentRequest
from ctsft.jobs.results import save_scores
from ctsft.jobs.scoring import open_discovery
from ctsft.runs.recorder import Writer
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.units import time_left_text


def run_experiment(run: Writer, request: ExperimentRequest) -> dict:
    """Run what is not finished yet of a design and write the tables; a summary with the counts and
    where they are.

    Raises UserError for a design that the model or the rows cannot give, and when every trial
    failed; `Stopped` keeps finished trials.
    """
    if request.jobs < 1:
        raise UserError(f"jobs is {request.jobs}; give at least 1 process.")
    design = request.design
    save_design(run, design)
    shared_scores(run, request)
    context = TrialContext(design, request.data_dir, run.id)
    context.check()
    rows = {target: context.rows(target, "train") for target in design.targets}
    begin(run, context.model, context.source, rows)
    schedule = TrialSchedule(run, request, context)
    rates = schedule.choose()
    failed = schedule.results(rates)
    return conclude(run, design, context.source, rates, failed)


def save_design(run: Writer, design: Design):
    """Write design.json. UserError where the run began with another design."""
    path = run.file("design.json")
    if not path.is_file():
        with atomic_path(path, "the design") as part:
            part.write_text(design.model_dump_json(indent=1) + "\n", encoding="utf-8")
    elif Design.model_validate_json(path.read_text(encoding="utf-8")) != design:
        raise UserError(
            f"Experiment {run.id!r} began with another design; start a new experiment for this one."
        )


def shared_scores(run: Writer, request: ExperimentRequest):
    """The scores that all trials share, in the run folder; computed once (and looked up in the
    cache).
    """
    if not run.file("scores.safetensors").is_file():
        subject = subject_of(request.design, request.data_dir)
        discovery = open_discovery(run, subject, scoring_of(request.design))
        save_scores(run, discovery.score("scoring heads"), "scores")


class TrialSchedule:
    """How an experiment goes: which trials are left, how far it is, how long it will take."""

    def __init__(self, run: Writer, request: ExperimentRequest, context: TrialContext):
        self.run, self.request, self.context = run, request, context
        self.design = request.design
        self.reporter = Reporter(run)
        self.done, self.spent = 0, 0.0
        self.ahead = sum(map(self.design.cost, [*self.design.grid(), *self.design.trials({})]))
        self.began = time.monotonic()

    def choose(self) -> dict[tuple[str, str], float]:
        """Learning rates by the grid's trials, measured on validation rows only; {} without a grid.
        Written to choices.json.
        """
        grid = self.design.grid()
        if not grid:
            return {}
        known = {row["key"]: row for row in self.run.events() if row.get("kind") == "grid"}
        for trial in grid:
            if trial.key in known:
                self.over(trial)
        for trial, row in self.walk([trial for trial in grid if trial.key not in known], "grid"):
            if "error" not in row:
                known[trial.key] = {
                    "key": trial.key,
                    "cell": trial.model_dump(),
                    "split": trial.split,
                    "seconds": row["seconds"],
                    "target": row["after"][trial.target]["accuracy"],
                    "source": row["after"][self.context.source]["accuracy"],
                }
                self.run.event(kind="grid", **known[trial.key])
        found = choose_rates(self.design, known)
        words = [
            {"setting": setting, "method": method, **one}
            for (setting, method), one in found.items()
        ]
        with atomic_path(self.run.file("choices.json"), "the choice of learning rates") as part:
            part.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
        return {key: one["learning_rate"] for key, one in found.items()}

    def results(self, rates: dict[tuple[str, str], float]) -> list[dict]:
        """Run the trials of the result that are left; the failed ones."""
        trials, failed, left = self.design.trials(rates), [], []
        for trial in trials:
            if finished(self.run.id, trial):
                self.over(trial)
            else:
                left.append(trial)
        for trial, row in self.walk(left, "cell"):
            if "error" in row:
                failed.append({"cell": trial.model_dump(), "error": row["error"]})
        if len(failed) == len(trials):
            raise UserError(
                f"None of the {len(trials)} trials could be run; the first failed with:"
                f" {failed[0]['error']}"
            )
        return failed

    def walk(self, trials: list[Trial], kind: str) -> Iterator[tuple[Trial, dict]]:
        """Each trial with what it came to, or {"error": one sentence}; raises `Stopped` between
        trials, and within one, when asked to.
        """
        if self.request.jobs > 1 and len(trials) > 1:
            workers = in_worker_processes(self.request, self.run)
        else:
            workers = in_this_process(self.context, self.run)
        self.tell(None)
        for trial, row in workers(trials, kind):
            self.over(trial, row)
            if "error" in row:
                self.run.event(
                    kind="failed", key=trial.key, cell=trial.model_dump(), error=row["error"]
                )
            yield trial, row
            if self.run.stop_requested():
                raise Stopped

    def over(self, trial: Trial, row: dict | None = None):
        self.done, self.ahead = self.done + 1, self.ahead - self.design.cost(trial)
        self.spent += self.design.cost(trial) if row else 0.0
        if row:
            self.tell(trial, row)

    @property
    def left(self) -> float | None:
        """Seconds to the end, at the rate of the trials that this process has run."""
        return (time.monotonic() - self.began) * self.ahead / self.spent if self.spent else None

    def tell(self, trial: Trial | None, row: dict | None = None):
        total = self.design.n_trials
        self.run.progress(self.done, total, f"trial {min(self.done + 1, total)} of {total}")
        self.run.time_left(self.left)
        if trial:
            print(
                f"trial {self.done} of {total}: {trial_summary(trial, row, self.context.source)};"
                f" {time_left_text(self.left, 'unknown time left')}",
                file=sys.stderr,
                flush=True,
            )


def trial_summary(trial: Trial, row: dict, source: str) -> str:
    if "error" in row:
        return f"{trial.description}: failed: {row['error']}"
    figures = [
        f"{side} {row['before'][name]['accuracy']:.3f} -> {row['after'][name]['accuracy']:.3f}"
        for side, name in (("source", source), ("target", trial.target))
    ]
    return f"{trial.description} ({trial.split}): {', '.join(figures)}, {row['seconds']:.1f} s"
