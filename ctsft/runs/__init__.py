"""Jobs as runs: start one detached, watch, stop, resume.

    run = runs.start(request)                      # the same job as from the shell, detached
    run.status().progress, run.events(since=10)
    runs.stop(run)
    runs.resume(run)

`folder` says what a run folder holds, `recorder` what a job does there, `launcher` starts and ends
jobs, `fork_server` lets them start at once, `device_queue` lets them take turns, `run_list` finds
runs, `explorations` holds those that are read only.
"""

from ctsft.runs.folder import Facts, Request, Run, RunError, RunRemoved, Status
from ctsft.runs.launcher import delete, kill, prepare, resume, start, stop
from ctsft.runs.processes import Process, process_start_time
from ctsft.runs.recorder import record, run_folder, throwaway_run
from ctsft.runs.run_list import get, list_read_only, list_runs
from ctsft.runs.writer import Writer
from ctsft.utils.home import home

__all__ = [
    "Facts",
    "Process",
    "Request",
    "Run",
    "RunError",
    "RunRemoved",
    "Status",
    "Writer",
    "process_start_time",
    "delete",
    "run_folder",
    "get",
    "home",
    "kill",
    "list_read_only",
    "list_runs",
    "prepare",
    "record",
    "resume",
    "throwaway_run",
    "start",
    "stop",
]
