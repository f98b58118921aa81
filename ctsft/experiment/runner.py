"""The experiment: every cell of a design, each once, in this process or a few workers; then the
tables.

The folder of an experiment's run holds `design.json` (what a resumed run goes on with), the shared
scores, an event a cell, the choice of learning rates (`choices.json`) and the tables. A cell of the
result has a run folder of its own whose id follows from the experiment's id and the cell, so that a
finished one is never run again; grid cells, which only choose a learning rate, are events alone. A
cell that fails is recorded and does not end the others; a resumed experiment tries it again.
"""

import json
import sys
import time
from collections.abc import Iterator

from ctsft.attribution.score_heads import score_heads
from ctsft.experiment.results import conclude
from ctsft.experiment.trials import Ground, finished, scoring_of
from ctsft.experiment.workers import one_by_one, several
from ctsft.jobs.experiment_design import Cell, Design, choices
from ctsft.jobs.reporter import Reporter, Stopped, begin
from ctsft.jobs.requests import Subject
from ctsft.jobs.results import save_scores
from ctsft.jobs.scoring import pool_and_means
from ctsft.runs.recorder import Writer
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.units import time_left_text


def experiment(run: Writer, design: Design, data_dir: str | None, jobs: int = 1) -> dict:
    """Run what is not finished yet of a design and write the tables; a summary with the counts and
    where they are.

    Raises UserError for a design that the model or the rows cannot give, and when every cell
    failed; `Stopped` keeps finished cells.
    """
    if jobs < 1:
        raise UserError(f"jobs is {jobs}; give at least 1 process.")
    design = kept(run, design)
    scores(run, design, data_dir)
    ground = Ground(design, data_dir, run.id)
    ground.check()
    begin(
        run,
        ground.subject,
        ground.model,
        {target: ground.rows(target, "train") for target in design.targets},
        design=design.model_dump(),
        jobs=jobs,
        source=ground.source,
    )
    course = Course(run, design, ground, data_dir, jobs)
    rates = course.choose()
    failed = course.results(rates)
    return conclude(run, design, ground.source, rates, failed)


def kept(run: Writer, design: Design) -> Design:
    """The design this run began with: a file that was changed since belongs to another
    experiment.
    """
    path = run.file("design.json")
    if path.is_file():
        old = Design.model_validate_json(path.read_text(encoding="utf-8"))
        if old != design:
            raise UserError(
                f"Experiment {run.id!r} began with another design; go on with that one, or leave"
                " out --run for a new experiment."
            )
    else:
        with atomic_path(path, "the design") as part:
            part.write_text(design.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return design


def scores(run: Writer, design: Design, data_dir: str | None):
    """The scores that all cells share, in the run folder; computed once (and looked up in the
    cache).
    """
    if run.file("scores.safetensors").is_file():
        return
    scoring = scoring_of(design)
    subject = Subject(
        design.model, design.task, data_dir, design.source, "train", design.device, design.dtype
    )
    model, task, _, pool, means, reporter = pool_and_means(run, subject, scoring)
    found = score_heads(
        model,
        task,
        pool,
        means,
        scoring.method,
        reporter.stage("scoring heads"),
        cache=True,
        **scoring.config,
    )
    save_scores(run, found, "scores")


class Course:
    """How an experiment goes: which cells are left, how far it is, how long it will take."""

    def __init__(
        self, run: Writer, design: Design, ground: Ground, data_dir: str | None, jobs: int
    ):
        self.run, self.design, self.ground, self.data_dir, self.jobs = (
            run,
            design,
            ground,
            data_dir,
            jobs,
        )
        self.reporter = Reporter(run)
        self.done, self.spent, self.ahead = (
            0,
            0.0,
            sum(map(design.cost, [*design.grid(), *design.cells({})])),
        )
        self.began = time.monotonic()

    def choose(self) -> dict[tuple[str, str], float]:
        """Learning rates by the grid's cells, measured on validation rows only; {} without a grid.
        Written to choices.json.
        """
        grid = self.design.grid()
        if not grid:
            return {}
        known = {row["key"]: row for row in self.run.events() if row.get("kind") == "grid"}
        for cell in grid:
            if cell.key in known:
                self.over(cell)
        for cell, row in self.walk([cell for cell in grid if cell.key not in known], "grid"):
            if "error" not in row:
                known[cell.key] = {
                    "key": cell.key,
                    "cell": cell.model_dump(),
                    "split": cell.split,
                    "seconds": row["seconds"],
                    "target": row["after"][cell.target]["accuracy"],
                    "source": row["after"][self.ground.source]["accuracy"],
                }
                self.run.event(kind="grid", **known[cell.key])
        found = choices(self.design, known)
        words = [
            {"setting": setting, "method": method, **one}
            for (setting, method), one in found.items()
        ]
        with atomic_path(self.run.file("choices.json"), "the choice of learning rates") as part:
            part.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
        return {key: one["learning_rate"] for key, one in found.items()}

    def results(self, rates: dict[tuple[str, str], float]) -> list[dict]:
        """Run the cells of the result that are left; the failed ones."""
        cells, failed, left = self.design.cells(rates), [], []
        for cell in cells:
            if finished(self.run.id, cell):
                self.over(cell)
            else:
                left.append(cell)
        for cell, row in self.walk(left, "cell"):
            if "error" in row:
                failed.append({"cell": cell.model_dump(), "error": row["error"]})
        if len(failed) == len(cells):
            raise UserError(
                f"None of the {len(cells)} cells could be run; the first failed with:"
                f" {failed[0]['error']}"
            )
        return failed

    def walk(self, cells: list[Cell], kind: str) -> Iterator[tuple[Cell, dict]]:
        """Each cell with what it came to, or {"error": one sentence}; raises `Stopped` between
        cells, and within one, when asked to.
        """
        workers = (
            several(self.design, self.data_dir, self.run, self.jobs)
            if self.jobs > 1 and len(cells) > 1
            else one_by_one(self.ground, self.run)
        )
        self.tell(None)
        for cell, row in workers(cells, kind):
            self.over(cell, row)
            if "error" in row:
                self.run.event(
                    kind="failed", key=cell.key, cell=cell.model_dump(), error=row["error"]
                )
            yield cell, row
            if self.run.stop_requested():
                raise Stopped

    def over(self, cell: Cell, row: dict | None = None):
        self.done, self.ahead = self.done + 1, self.ahead - self.design.cost(cell)
        self.spent += self.design.cost(cell) if row else 0.0
        if row:
            self.tell(cell, row)

    @property
    def left(self) -> float | None:
        """Seconds to the end, at the rate of the cells that this process has run."""
        return (time.monotonic() - self.began) * self.ahead / self.spent if self.spent else None

    def tell(self, cell: Cell | None, row: dict | None = None):
        total = self.design.size
        self.run.progress(self.done, total, f"cell {min(self.done + 1, total)} of {total}")
        self.run.time_left(self.left)
        if cell:
            print(
                f"cell {self.done} of {total}: {said(cell, row, self.ground.source)};"
                f" {time_left_text(self.left, 'unknown time left')}",
                file=sys.stderr,
                flush=True,
            )


def said(cell: Cell, row: dict, source: str) -> str:
    if "error" in row:
        return f"{cell.says}: failed: {row['error']}"
    figures = [
        f"{side} {row['before'][name]['accuracy']:.3f} -> {row['after'][name]['accuracy']:.3f}"
        for side, name in (("source", source), ("target", cell.target))
    ]
    return f"{cell.says} ({cell.split}): {', '.join(figures)}, {row['seconds']:.1f} s"
