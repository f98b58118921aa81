"""The benchmark of killed jobs, with one kill of each kind on a tiny model (tuning is killed in
`test_nothing_lost`), and its control.
"""

import os
import random
import subprocess
import sys

import pytest

from benchmarks import kills
from ctsft.runs import launcher


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the benchmark forks")
def test_killed_jobs_resume_to_the_same_bits(subject):
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "1"]
    command += ["--model", subject.model, "--task", subject.task]
    command += ["--only", "score", "discover", "experiment"]
    done = subprocess.run(command, cwd=launcher.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("1 of 1") == 3, (done.stdout, done.stderr)


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
