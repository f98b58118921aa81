"""Runs in real processes: start one, wait for its state."""

import sys

from ctsft import runs
from ctsft.runs import launcher
from support.waiting import wait_until

JOB = """
import os, sys, time
from ctsft import runs
"""
IDLE = "    time.sleep(60)\n"
SCORE = runs.Request(kind="score")


def queued(kind="finetune"):
    with runs.record(runs.Request(kind=kind)) as run:
        pass
    return runs.Run(run.path)


def child(code, run=None):
    """A detached process that runs `code` as the job of `run`; RUN in it is the id."""
    run = run or queued()
    return launcher._spawn(run, [sys.executable, "-c", f"RUN = {run.id!r}{JOB}{code}"])


def until(run, *states):
    """The run's status once it has one of these states."""
    wait_until(lambda: run.status().state in states)
    status = run.status()
    assert status.state in states, (status, run.log_tail())
    return status


def logs(run, text):
    """Wait until the run's log holds a text."""
    assert wait_until(lambda: text in run.log_tail()), run.log_tail()


def waiting(code):
    """A run whose job has begun, recorded one event, and then runs `code`."""
    run = child(
        "with runs.record(runs.Request(kind='finetune'), RUN) as run:\n    run.event(step=1)\n   "
        f" print('begun')\n{code}"
    )
    until(run, "running")
    logs(run, "begun")
    return run
