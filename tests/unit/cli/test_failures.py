"""Jobs that fail, are stopped or killed: exit code 1, one line, and a log."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ctsft import runs
from ctsft.jobs import scoring
from ctsft.utils import distributed
from support.processes import start_shell
from support.shell import newest
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


def test_a_failure_of_ours_is_exit_code_1_and_one_line(shell, tiny_words, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(scoring, "score_heads", broken)
    code, out, err = shell("score", *tiny_words, "--size", 6)
    log = newest().file("log.txt")
    assert (code, out) == (1, "") and err == [
        f"ctsft: It failed with RuntimeError: out of memory (traceback in {log})."
    ]
    assert "Traceback" in newest().log_tail(99) and newest().status().state == "failed"


def test_a_failure_outside_a_job_names_no_log(shell, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("x" * 1000)

    monkeypatch.setattr("ctsft.runs.list_runs", broken)
    code, out, err = shell("runs")
    assert (code, out, len(err)) == (1, "", 1) and "log" not in err[0] and len(err[0]) < 400


def test_a_failure_of_another_process_is_said_too(shell, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr("ctsft.runs.list_runs", broken)
    monkeypatch.setattr(distributed, "RANK", 1)
    assert shell("runs") == (
        1,
        "",
        ["ctsft: Process 1: It failed with RuntimeError: no memory."],
    )
    assert shell("runs", "--nothing")[2] == []  # the first process says what is wrong with words


def test_a_run_stopped_before_its_result_says_how_to_go_on(shell, tiny_words, monkeypatch):
    monkeypatch.setattr(
        scoring,
        "score_heads",
        lambda *words, **_: (newest().file("stop").write_text("keep"), words[5](1, 2)),
    )
    code, out, err = shell("score", *tiny_words, "--size", 6)
    assert (code, out) == (1, "") and len(err) == 1 and f"runs resume {newest().id}" in err[0]
    assert newest().status().state == "stopped"


@pytest.mark.usefixtures("fork_server")
def test_real_processes_done_wrong_and_ended(tiny_words, tmp_path, tmp_path_factory, home):
    """Three at once: one that works, one that is refused, one that SIGTERM ends in the middle."""
    outputs = tmp_path_factory.mktemp("outputs")

    def start(name, *words):
        return start_shell(words, outputs / name, cwd=tmp_path)

    tuning = ("--target", "javanese", "--what", "norms", "--n", 0, "--epochs", 5000)
    long = start("long", "finetune", *tiny_words, *tuning)
    good = start("good", "score", *tiny_words, "--size", 6, "--method", "atp", "--json")
    wrong = subprocess.Popen(
        [sys.executable, "-m", "ctsft", "runs", "show", "no-such-run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def is_tuning(run):
        status = run.status()
        return run.request.kind == "finetune" and status.progress > 0 and status.stage == "tuning"

    try:
        assert wait_until(lambda: any(map(is_tuning, runs.list_runs())), 200)
        long.kill(signal.SIGTERM)
        code, out, err = good.wait()
        assert code == 0 and len(json.loads(out)["heads"]) == 12 and "Traceback" not in err
        sentence, line = wrong.communicate(timeout=200)
        assert (
            (wrong.returncode, sentence) == (2, "")
            and line.startswith("ctsft: There is no run 'no-such-run'")
            and len(line.splitlines()) == 1
        )
        code, out, err = long.wait()
        run = runs.list_runs("finetune")[0]
        assert (
            (code, out) == (1, "")
            and err.splitlines()[-1].startswith("ctsft: Interrupted")
            and "Traceback" not in err
        )
        assert (
            run.status().state == "stopped"
            and "interrupted" in run.status().message
            and 0 < run.status().progress < 1
        )
        assert (
            run.events()[0]["step"] == 0
            and [path for path in tmp_path.iterdir() if path != home] == []
        )
    finally:
        long.kill()
        good.kill()
        wrong.kill()
        wrong.communicate()
