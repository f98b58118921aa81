"""The experiment: every trial of a design, each once, in this process or a few workers; then the
tables.

The folder of an experiment's run holds `design.json` (which a resumed run compares with its own),
the shared scores, events, the choice of learning rates (`choices.json`) and the tables. A trial of
the result has its own run folder, whose id follows from the experiment's id and the trial, so that
a finished one is never run again. Grid trials, which only choose a learning rate, are events only.
A trial that fails is recorded and does not end the others; a resumed experiment tries it again.
"""

import json
import sys
import time
from collections.abc import Iterator

from ctsft.experiment.design_checks import check_rows
from ctsft.experiment.rate_choice import choose_rates
from ctsft.experiment.results import finish_experiment
from ctsft.experiment.trial_context import TrialContext, subject_of
from ctsft.experiment.trials import finished
from ctsft.experiment.workers import in_this_process, in_worker_processes
from ctsft.jobs.experiment_design import Design, Trial, read_design
from ctsft.jobs.reporter import Reporter, Stopped, begin
from ctsft.jobs.request_parts import discovery_scoring
from ctsft.jobs.requests import ExperimentRequest
from ctsft.jobs.results import save_scores
from ctsft.jobs.scoring import open_discovery
from ctsft.runs.writer import Writer
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError
from ctsft.utils.units import time_left_text


def run_experiment(run: Writer, request: ExperimentRequest) -> dict:
    """Run the trials of a design that are not finished yet, and write the tables. Returns a summary
    with the counts and the files.

    UserError for a design that does not fit the model or the rows, and when every trial failed.
    `Stopped` leaves the finished trials in place.
    """
    if request.jobs < 1:
        raise UserError(f"jobs is {request.jobs}; give at least 1 process.")
    design = request.design
    save_design(run, design)
    check_rows(design, request.data_dir)
    shared_scores(run, request)
    context = TrialContext(design, request.data_dir, run.id)
    context.check()
    rows = {target: context.rows(target, "train") for target in design.targets}
    begin(run, context.model, context.source, rows)
    schedule = TrialSchedule(run, request, context)
    rates = schedule.choose_rates()
    failed = schedule.run_trials(rates)
    return finish_experiment(run, design, context.source, rates, failed)


def save_design(run: Writer, design: Design):
    """Write design.json, also where it is damaged: the request has the design too. UserError where
    the run began with another design.
    """
    path = run.file("design.json")
    try:
        stored = read_design(path)
    except UserError:
        stored = None
    if stored is None:
        write_text(path, design.model_dump_json(indent=1) + "\n", "the design")
    elif stored != design:
        raise UserError(
            f"Experiment {run.id!r} began with another design; start a new experiment for this one."
        )


def shared_scores(run: Writer, request: ExperimentRequest):
    """The scores that all trials share, in the run folder; computed once (and looked up in the
    cache).
    """
    if not run.file("scores.safetensors").is_file():
        subject = subject_of(request.design, request.data_dir)
        discovery = open_discovery(run, subject, discovery_scoring(request.design))
        save_scores(run, discovery.score("scoring heads"), "scores")


class TrialSchedule:
    """Runs the trials that remain, and reports how many are done and how long the others take."""

    def __init__(self, run: Writer, request: ExperimentRequest, context: TrialContext):
        self.run = run
        self.request = request
        self.context = context
        self.design = request.design
        self.reporter = Reporter(run)
        self.began = time.monotonic()
        self.done = 0  # trials
        self.cost_run = 0.0  # by this process, in steps (`Design.cost`)
        self.cost_remaining = sum(
            map(self.design.cost, [*self.design.grid(), *self.design.trials({})])
        )

    def choose_rates(self) -> dict[tuple[str, str], float]:
        """{(setting, method): learning rate} by the grid's trials, measured on validation rows
        only; {} without a grid. Written to choices.json.
        """
        grid = self.design.grid()
        if not grid:
            return {}
        known = {row["key"]: row for row in self.run.events() if row.get("kind") == "grid"}
        for trial in grid:
            if trial.key in known:
                self.count(trial)
        remaining = [trial for trial in grid if trial.key not in known]
        for trial, row in self.run_all(remaining, "grid"):
            if "error" not in row:
                known[trial.key] = self.grid_event(trial, row)
                self.run.event(kind="grid", **known[trial.key])
        choices = choose_rates(self.design, known)
        rows = [
            {"setting": setting, "method": method, **choice}
            for (setting, method), choice in choices.items()
        ]
        text = json.dumps(rows, indent=1) + "\n"
        write_text(self.run.file("choices.json"), text, "the choice of learning rates")
        return {key: choice["learning_rate"] for key, choice in choices.items()}

    def grid_event(self, trial: Trial, row: dict) -> dict:
        return {
            "key": trial.key,
            "cell": trial.model_dump(),
            "split": trial.split,
            "seconds": row["seconds"],
            "target": row["after"][trial.target]["accuracy"],
            "source": row["after"][self.context.source]["accuracy"],
        }

    def run_trials(self, rates: dict[tuple[str, str], float]) -> list[dict]:
        """Run the trials of the result that are not finished. Returns those that failed; UserError
        when all did.
        """
        trials = self.design.trials(rates)
        remaining = []
        for trial in trials:
            if finished(self.run.id, trial):
                self.count(trial)
            else:
                remaining.append(trial)
        failed = [
            {"cell": trial.model_dump(), "error": row["error"]}
            for trial, row in self.run_all(remaining, "cell")
            if "error" in row
        ]
        if len(failed) == len(trials):
            raise UserError(
                f"None of the {len(trials)} trials could be run; the first failed with:"
                f" {failed[0]['error']}"
            )
        return failed

    def run_all(self, trials: list[Trial], kind: str) -> Iterator[tuple[Trial, dict]]:
        """Each trial with its result, or {"error": one sentence}. Raises `Stopped` between trials,
        and within one, when a stop was requested.
        """
        if self.request.jobs > 1 and len(trials) > 1:
            workers = in_worker_processes(self.request, self.run)
        else:
            workers = in_this_process(self.context, self.run)
        self.report_progress()
        for trial, row in workers(trials, kind):
            self.count(trial)
            self.cost_run += self.design.cost(trial)
            self.report_progress()
            self.report_result(trial, row)
            if "error" in row:
                self.run.event(
                    kind="failed", key=trial.key, cell=trial.model_dump(), error=row["error"]
                )
            yield trial, row
            if self.run.stop_requested():
                raise Stopped

    def count(self, trial: Trial):
        """Count a trial as done."""
        self.done += 1
        self.cost_remaining -= self.design.cost(trial)

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at the rate of the trials that this process has run; None before one."""
        if not self.cost_run:
            return None
        return (time.monotonic() - self.began) * self.cost_remaining / self.cost_run

    def report_progress(self):
        total = self.design.n_trials
        self.run.progress(self.done, total, f"trial {min(self.done + 1, total)} of {total}")
        self.run.time_left(self.seconds_left)

    def report_result(self, trial: Trial, row: dict):
        """A line on stderr."""
        print(
            f"trial {self.done} of {self.design.n_trials}:"
            f" {trial_summary(trial, row, self.context.source)};"
            f" {time_left_text(self.seconds_left, 'unknown time left')}",
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
