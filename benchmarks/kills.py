"""Is anything lost when a job is killed? Tuning, scoring, discovery and an experiment, each killed
(SIGKILL) at random moments after its first checkpoint and resumed; the results have to have the
same bits as those of a job that nobody killed.

    python -m benchmarks.kills [--kills 25] [--seed 0] [--only tune score discover experiment]

Each kill has a run of its own in a home of its own, so that no cache helps. A job is a fork of this
process, which has imported the libraries but computed nothing; a killed process is a killed
process, and starting it takes no seconds. Exit code 1 where a result differs.
"""

import argparse
import io
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.scores import Scores
from ctsft.cli.run import JOBS, execute, job_of
from ctsft.jobs.experiment_design import Design, Setting
from ctsft.jobs.requests import (
    DiscoverRequest,
    ExperimentRequest,
    FinetuneRequest,
    ScoreRequest,
    Scoring,
    Subject,
    Tuning,
    needed_request,
)
from ctsft.model.loading import load_model
from ctsft.runs import results
from ctsft.tuning.config import TuneConfig

RUN = "killed"
PATIENCE = 300.0  # seconds that a job may take
LATE = 20  # draws of a moment that may come after the end, for each kill


@dataclass(frozen=True)
class Case:
    """A kind of job: its request, whether its first checkpoint is there, and what it came to."""

    request: runs.Request
    begun: Callable[[runs.Run], bool]
    outcome: Callable[[runs.Run], list[bytes]]


@dataclass
class Count:
    """What came of the kills of one kind of job. window: seconds from the first checkpoint to the
    end, of the job that nobody killed; parts: kills that left a half-written file behind.
    """

    window: float
    kills: int = 0
    parts: int = 0
    late: int = 0
    different: list[int] = field(default_factory=list)


def tuned(run: runs.Run) -> list[bytes]:
    timeless = [
        {key: value for key, value in row.items() if key not in ("seconds", "time", "kind")}
        for row in (*results.result(run)["history"], *results.evaluations(run))
    ]
    return [run.file("delta.safetensors").read_bytes(), repr(timeless).encode()]


def scored(run: runs.Run) -> list[bytes]:
    """Scores, means and discovery set; a note in the scores says whether the cache answered."""
    names = sorted(path.name for path in run.path.glob("scores*.safetensors"))
    values = [Scores.load(run.file(name)).per_example for name in names]
    values.append(Means.load(run.file("means.safetensors")).values)
    return [*(value.numpy().tobytes() for value in values), run.file("pool.json").read_bytes()]


def discovered(run: runs.Run) -> list[bytes]:
    return [*scored(run), run.file("circuit.json").read_bytes()]


def trials(run: runs.Run) -> list[Path]:
    """The folders of the trials that are finished, in a fixed order."""
    done = run.path.parent.glob(f"{run.id}-*/result.json")
    return sorted(path.parent for path in done)


def compared(run: runs.Run) -> list[bytes]:
    tables = [run.file(name).read_bytes() for name in ("table.csv", "rows.csv", "pairs.csv")]
    return tables + [(path / "delta.safetensors").read_bytes() for path in trials(run)]


def cases(model: str, task: str, target: str) -> dict[str, Case]:
    """The four kinds of jobs, small enough to take seconds."""
    subject = Subject(model=model, task=task, device="cpu")
    scoring = Scoring(size=6)
    tune = FinetuneRequest(
        subject=subject,
        tuning=Tuning(target=target, what="norms", n=12, eval_split="valid"),
        config=TuneConfig(
            epochs=5, learning_rate=1e-3, batch_size=4, eval_every=6, checkpoint_every=2
        ),
    )
    design = Design(
        model=model,
        task=task,
        targets=[target],
        methods=["near_zero", "norms"],
        n=[6],
        seeds=[1, 2],
        pool="all",
        k=2,
        discovery={"size": 6, "method": "atp"},
        device="cpu",
        keep_deltas=True,
        rows=6,
        settings=[Setting(epochs=2)],
    )
    return {
        "tune": Case(tune, lambda run: any(run.path.glob("checkpoints/checkpoint-*")), tuned),
        "score": Case(
            ScoreRequest(subject=subject, scoring=scoring, preview=True),
            lambda run: run.file("pool.json").exists(),
            scored,
        ),
        "discover": Case(
            DiscoverRequest(subject=subject, scoring=scoring, depth=2, fraction=0.1),
            lambda run: run.file("pool.json").exists(),
            discovered,
        ),
        "experiment": Case(
            ExperimentRequest(design=design, file="design.json"),
            lambda run: bool(trials(run)),
            compared,
        ),
    }


def fork_job(request: runs.Request) -> int:
    """The pid of a new process that runs the request as the run `RUN`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            execute(request, run_id=RUN)
        code = 0
    finally:
        os._exit(code)


def wait_for(pid: int, moment: Callable[[], bool]) -> float | None:
    """Seconds until `moment()` is true; None where the process ended before."""
    began = time.monotonic()
    while not moment():
        try:
            if os.waitpid(pid, os.WNOHANG) != (0, 0):
                return None
        except ChildProcessError:  # it was seen to end before
            return None
        if time.monotonic() - began > PATIENCE:
            os.kill(pid, 9)
            raise SystemExit(f"A job did not come so far within {PATIENCE:.0f} s.")
        time.sleep(0.0005)
    return time.monotonic() - began


def whole(case: Case, home: Path) -> tuple[list[bytes], float]:
    """What the job comes to without a kill, and its seconds from the first checkpoint on."""
    os.environ["CTSFT_HOME"] = str(home)
    run = runs.Run(home / "runs" / RUN)
    pid = fork_job(case.request)
    wait_for(pid, lambda: case.begun(run))
    began = time.monotonic()
    wait_for(pid, lambda: False)
    seconds = time.monotonic() - began
    if run.status().state != "done":
        raise SystemExit(f"The job ended without a kill: {run.status().message or run.log_tail()}")
    return case.outcome(run), seconds


def killed(case: Case, home: Path, seconds: float) -> tuple[list[bytes] | None, bool]:
    """What the job comes to when it is killed so many seconds after its first checkpoint and
    resumed, and whether the kill left a half-written file; (None, False) where it had ended.
    """
    os.environ["CTSFT_HOME"] = str(home)
    run = runs.Run(home / "runs" / RUN)
    pid = fork_job(case.request)
    wait_for(pid, lambda: case.begun(run))
    end = time.monotonic() + seconds
    if wait_for(pid, lambda: time.monotonic() >= end) is None:
        return None, False
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    if run.status().state != "lost":
        return None, False
    part = any(home.rglob(".*.part"))
    resumed = fork_job(needed_request(run))
    wait_for(resumed, lambda: False)
    return (case.outcome(run) if run.status().state == "done" else []), part


def kill_many(case: Case, kills: int, draw: random.Random) -> Count:
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        expected, window = whole(case, folder / "whole")
        count = Count(window)
        while count.kills < kills and count.late < LATE * kills:
            home = folder / f"{count.kills}-{count.late}"
            outcome, part = killed(case, home, draw.uniform(0, window))
            if outcome is None:
                count.late += 1
            else:
                if outcome != expected:
                    count.different.append(count.kills)
                count.kills += 1
                count.parts += part
            shutil.rmtree(home)
        return count
    finally:
        shutil.rmtree(folder)


def table(counts: dict[str, Count]) -> str:
    lines = [
        "| job | killed | within | half-written files left | resumed to the same bits |",
        "|---|---|---|---|---|",
    ]
    for name, count in counts.items():
        same = count.kills - len(count.different)
        lines.append(
            f"| {name} | {count.kills} | {count.window:.1f} s | {count.parts} |"
            f" {same} of {count.kills} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="of each kind of job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--task", default="demo")
    parser.add_argument("--target", default="javanese")
    names = ("tune", "score", "discover", "experiment")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    # one thread: what is forked has no pool of threads, and every job sums in the same order
    torch.set_num_threads(1)
    for kind in JOBS:
        job_of(kind)
    load_model(arguments.model, "cpu")
    cases_by_name = cases(arguments.model, arguments.task, arguments.target)
    counts: dict[str, Count] = {}
    for name in arguments.only:
        draw = random.Random(f"{arguments.seed} {name}")
        counts[name] = kill_many(cases_by_name[name], arguments.kills, draw)
        print(f"{name}: {counts[name]}", file=sys.stderr, flush=True)
    print(table(counts))
    enough = all(count.kills == arguments.kills for count in counts.values())
    return 0 if enough and not any(count.different for count in counts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
