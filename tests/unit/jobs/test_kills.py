"""The benchmark of killed jobs, with one kill of each kind on a tiny model (tuning is killed in
`test_nothing_lost`), and its control.
"""

import os
import random

import pytest

from benchmarks import kills
from ctsft.runs import launcher
from support.processes import start_code


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the benchmark forks")
@pytest.mark.usefixtures("fork_server")
def test_killed_jobs_resume_to_the_same_bits(subject, tmp_path):
    command = ["benchmarks.kills", "--kills", "1", "--model", subject.model]
    command += ["--task", subject.task, "--only", "score", "discover", "experiment"]
    code = (
        f"import sys\nsys.path.insert(0, {str(launcher.ROOT)!r})\nsys.argv = {command}\n"
        "from benchmarks.kills import main\nassert main() == 0"
    )
    done, out, err = start_code(code, tmp_path / "kills").wait()
    assert done == 0 and out.count("1 of 1") == 3, (out, err)


def test_a_result_that_differs_is_counted(monkeypatch):
    results = iter([b"other", b"same", None, b"same"])

    def killed(case, home, seconds):
        home.mkdir(parents=True)
        content = next(results)
        return (None, False) if content is None else ([content], True)

    monkeypatch.setattr(kills, "whole", lambda case, home: ([b"same"], 1.0))
    monkeypatch.setattr(kills, "killed", killed)
    count = kills.kill_many(None, 3, random.Random(0))
    assert (count.kills, count.different, count.late, count.parts) == (3, [0], 1, 3)
    assert "| score | 3 | 1.0 s | 3 | 2 of 3 |" in kills.table({"score": count})
