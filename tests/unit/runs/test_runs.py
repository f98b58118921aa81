"""Runs with real processes: what a reader sees while jobs write, finish, stop, break and die."""

import json
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from ctsft import runs
from ctsft.runs import folder as runs_folder
from ctsft.runs import launcher, processes, recorder, writer
from support.runs import JOB, child, queued, until
from support.waiting import stopped_clock, wait_until

pytestmark = pytest.mark.usefixtures("folder")


def logs(run, text):
    assert wait_until(lambda: text in run.log_tail()), run.log_tail()


def waiting(code):
    run = child(
        "with runs.record(runs.Request(kind='finetune'), RUN) as run:\n    run.event(step=1)\n   "
        f" print('begun')\n{code}"
    )
    until(run, "running")
    logs(run, "begun")
    return run


SCORE = runs.Request(kind="score")
IDLE = "    time.sleep(60)\n"


OBEDIENT = """
    while not run.stop_requested(): time.sleep(0.02)
    run.file('kept.txt').write_text('kept')
"""


DEAF = "    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')\n" + IDLE


def test_importing_runs_is_quick():
    code = (
        f"{JOB}assert not {{'torch', 'transformers', 'numpy', 'streamlit'}} & set(sys.modules),"
        " sorted(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=launcher.ROOT).returncode == 0


def test_a_recorded_run_can_be_read_back(folder):
    with runs.record(runs.Request(kind="score", name="first")) as run:
        assert run.status().state == "running" and run.status().pid == os.getpid()
        run.progress(1, 4, "means")
        run.event(step=1, loss=0.5)
        run.event(step=2, heads={(1, 2), (0, 3)})
        run.add_facts(torch="2")
        run.add_facts(model="abc")
        run.file("scores.txt").write_text("1")
    seen = runs.get(run.id)
    status = seen.status()
    assert (status.state, status.progress, status.stage, status.eta, status.message) == (
        "done",
        1.0,
        "means",
        None,
        "",
    )
    assert status.started <= status.heartbeat and status.finished
    assert [{k: v for k, v in row.items() if k != "time"} for row in seen.events()] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "heads": [[0, 3], [1, 2]]},
    ]
    assert [row["step"] for row in seen.events(since=1)] == [2]
    request = seen.request
    assert (request.kind, request.name, request.cwd) == ("score", "first", os.getcwd())
    assert request.facts == runs.Facts(torch="2", model="abc")
    assert seen.path.parent == folder and seen.file("scores.txt").read_text() == "1"


def test_progress_reaches_readers_with_an_eta_of_its_own_stage(monkeypatch):
    monkeypatch.setattr(writer, "TICK", 0.02)
    clock = stopped_clock()
    monkeypatch.setattr(writer, "time", clock)
    with runs.record(SCORE) as run:
        run.progress(0, 10, "means")
        clock.now += 5.0
        run.progress(50, 100, "scoring")  # resumed half way: these 50 took no time
        clock.now += 0.2
        run.progress(60, 100, "scoring")
        before = time.time()
        assert wait_until(lambda: run.status().progress == 0.6)
        status = run.status()
        assert status.stage == "scoring" and status.advanced <= before
        # 10 of them took 0.2 s, 40 are left
        assert status.eta == pytest.approx(0.8)


def test_the_heartbeat_goes_on_in_silence_and_progress_does_not(monkeypatch):
    monkeypatch.setattr(writer, "TICK", 0.02)
    monkeypatch.setattr(writer, "BEAT", 0.04)
    with runs.record(SCORE) as run:
        first = run.status()
        assert wait_until(lambda: run.status().heartbeat > first.heartbeat)
        later = run.status()
    assert later.heartbeat > first.heartbeat and later.advanced == first.advanced


def test_an_exception_is_told_in_one_sentence_and_passed_on():
    with pytest.raises(ValueError), runs.record(SCORE) as run:
        raise ValueError("'x' is no task; choose from demo\nand a second line")
    assert (run.status().state, run.status().message) == (
        "failed",
        "'x' is no task; choose from demo",
    )
    assert "Traceback" in run.log_tail() and run.status().progress == 0
    with pytest.raises(KeyError), runs.record(SCORE) as run:
        {}["head"]
    assert run.status().message == "KeyError: 'head'"
    with pytest.raises(TypeError), runs.record(SCORE) as run:
        run.event(odd=object())
    with pytest.raises(SystemExit), runs.record(SCORE) as run:
        sys.exit(2)
    assert run.status().state == "failed"
    with pytest.raises(KeyboardInterrupt), runs.record(SCORE) as run:
        raise KeyboardInterrupt
    assert run.status().state == "stopped"


def test_torn_lines_are_skipped_and_the_next_writer_starts_a_new_one():
    with runs.record(SCORE) as run:
        run.event(step=1)
        with open(run.file("events.jsonl"), "ab") as file:
            file.write(b'{"step": 2, "lo')
        assert [row["step"] for row in run.events()] == [1]
    with runs.record(SCORE, run.id) as again:
        again.event(step=3)
    assert [row["step"] for row in run.events()] == [1, 3]
    with open(run.file("events.jsonl"), "ab") as file:
        file.write(b'\x00\xff\x00\n7\n{"step": 4}\n{"step": 5}')
    assert [row["step"] for row in run.events()] == [1, 3, 4]


@pytest.mark.parametrize(
    "text",
    ["", '{"state": "run', "[]", '{"state": "dancing", "progress": "much", "stage": "scoring"}'],
)
def test_half_written_files_do_not_break_reading(text):
    run = queued("score")
    run.file("status.json").write_text(text)
    run.file("request.json").write_text(text)
    assert run.status().state == "lost"  # no word of an end, no known process
    assert "scoring" in run.status().message or "scoring" not in text
    assert run.request.kind == "score" and run.request.created > 0
    assert [found.id for found in runs.list_runs("score")] == [run.id]


def test_an_unreadable_status_of_a_live_process_reads_as_running():
    run = child("time.sleep(60)")
    run.file("status.json").write_text("{")
    assert run.status().state == "running"


def test_a_killed_process_reads_as_lost_with_the_end_of_its_log():
    run = waiting("    run.progress(1, 2, 'means'); print('10%\\r20%\\rlast words')\n" + IDLE)
    logs(run, "last words")
    assert wait_until(lambda: run.status().progress == 0.5)
    os.kill(run.status().pid, 9)
    status = until(run, "lost")
    assert run.log_tail().splitlines() == ["begun", "last words"]
    assert "last words" in status.message and "'means'" in status.message and status.progress == 0.5
    assert [row["step"] for row in run.events()] == [1]


def test_a_job_that_dies_before_it_records_anything_is_lost_at_once():
    run = child("sys.exit('no such task')")
    assert "no such task" in until(run, "lost").message


def test_a_queued_run_has_time_to_get_a_process(monkeypatch):
    run = queued()
    run.file("status.json").write_text(json.dumps({"state": "queued", "heartbeat": time.time()}))
    assert run.status().state == "queued"
    monkeypatch.setattr(runs_folder, "GRACE", 0.0)
    assert run.status().state == "lost"


def test_a_recycled_pid_is_not_mistaken_for_the_job():
    with runs.record(SCORE) as run:
        row = json.loads(run.file("status.json").read_text())
        assert run.status().state == "running"
        run.file("status.json").write_text(
            json.dumps({**row, "pid_started": row["pid_started"] - 1})
        )
        assert run.status().state == "lost"


def test_a_job_that_ends_between_two_looks_is_not_lost(monkeypatch):
    with runs.record(SCORE) as run:
        running = run.file("status.json").read_text()
    done = run.file("status.json").read_text()
    run.file("status.json").write_text(running)

    def gone(process):
        # its last act falls between reading the file and looking for the process
        run.file("status.json").write_text(done)
        return False

    monkeypatch.setattr(runs_folder, "is_alive", gone)
    assert run.status().state == "done"


def test_a_zombie_is_dead():
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', '']);"
        " print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        assert wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        assert psutil.pid_exists(pid) and processes.process_start_time(pid) is None
        assert processes.process_start_time(parent.pid) is not None
    finally:
        parent.kill()
        parent.communicate()


def test_children_of_this_process_are_reaped():
    run = child("pass")
    pid = json.loads(run.file("process.json").read_text())["pid"]
    until(run, "lost")
    assert wait_until(lambda: not psutil.pid_exists(pid))


def test_a_run_on_another_machine_is_judged_by_its_heartbeat():
    run = queued()
    row = {"state": "running", "pid": 1, "pid_started": 5.0, "host": "elsewhere"}
    run.file("status.json").write_text(json.dumps({**row, "heartbeat": time.time() - 5}))
    assert run.status().state == "running"
    with pytest.raises(runs.RunError, match="elsewhere"):
        runs.kill(run)
    run.file("status.json").write_text(
        json.dumps({**row, "heartbeat": time.time() - runs_folder.STALE - 5})
    )
    assert run.status().state == "lost"


def test_stop_and_keep_then_resume():
    run = waiting(OBEDIENT)
    runs.stop(run)
    until(run, "stopping", "stopped")
    until(run, "stopped")
    assert run.file("kept.txt").read_text() == "kept"
    child(
        "with runs.record(runs.Request(kind='finetune', name='more'), RUN) as run:\n"
        "    run.event(step=2,"
        " asked=run.stop_requested())\n",
        run,
    )
    # the old wish to stop is forgotten, also when resumed from the shell
    until(run, "done")
    runs.Run(run.path).file("stop").write_text("keep")
    with runs.record(runs.Request(kind="finetune"), run.id) as again:
        assert again.stop_requested() is None and again.status().state == "running"
    assert [(row["step"], row.get("asked")) for row in run.events()] == [(1, None), (2, None)]
    assert run.request.name == "more"


def test_a_job_that_does_not_listen_is_stopping_until_it_is_killed():
    run = waiting(IDLE)
    runs.stop(run)
    time.sleep(0.1)
    assert run.status().state == "stopping"
    runs.kill(run, wait=60)
    # SIGTERM let it say so
    assert run.status().state == "stopped" and "interrupted" in run.status().message


def test_a_job_deaf_to_sigterm_is_killed_with_its_children():
    run = waiting(
        "    import subprocess; p = subprocess.Popen(['sleep', '60']); run.event(step=2,"
        " pid=p.pid)\n" + DEAF
    )
    logs(run, "deaf")
    pid, helper = run.status().pid, run.events()[1]["pid"]
    runs.kill(run, wait=0.2)
    assert run.status().state == "stopped" and "ended before" in run.status().message
    assert wait_until(
        lambda: [processes.process_start_time(p) for p in (pid, helper)] == [None, None]
    )


def test_stop_and_discard_removes_process_and_folder(folder):
    run = waiting(IDLE)
    pid = run.status().pid
    runs.stop(run, "discard")
    assert processes.process_start_time(pid) is None and list(folder.iterdir()) == []
    with pytest.raises(runs.RunError, match="'keep', 'discard'"):
        runs.stop(run, "perhaps")


def test_running_runs_are_neither_deleted_nor_started_twice():
    with runs.record(SCORE) as run:
        with pytest.raises(runs.RunError, match="still running"):
            runs.delete(run)
        with pytest.raises(runs.RunError, match="running already"):
            runs.resume(run)
        with (
            pytest.raises(runs.RunError, match="running already"),
            runs.record(SCORE, run.id),
        ):
            pass
        assert run.path.is_dir()
    runs.delete(run)
    assert not run.path.exists() and runs.list_runs() == []
    runs.delete(run)  # by another tab, once more


@pytest.mark.parametrize("run_id", ["no-such-run", "../secret", "A B", "", "a/b", ".hidden"])
def test_an_unknown_id_is_answered_with_what_to_do(run_id, folder):
    for name in ("../secret", "A B", "a/b", ".hidden"):
        # all of them there, none of them a run
        (folder / name).resolve().mkdir(parents=True)
    with pytest.raises(runs.RunError) as error:
        runs.get(run_id)
    text = str(error.value)
    assert repr(run_id) in text and "python -m ctsft runs" in text and "\n" not in text


def test_an_id_that_no_folder_can_have_is_refused_shortly():
    with pytest.raises(runs.RunError) as error:
        runs.get("x" * 300)
    assert "x" * 80 not in str(error.value).replace(str(runs.home()), "")


def test_runs_are_listed_newest_first_and_other_folders_are_not(folder):
    made = [queued(kind) for kind in ("score", "finetune", "score")]
    for name in ("20260101-000000-score-empty", "Not_an_id"):
        (folder / name).mkdir()
    (folder / "Not_an_id" / "request.json").write_text("{}")
    (folder / "stray.txt").write_text("")
    assert [run.id for run in runs.list_runs()] == [run.id for run in reversed(made)]
    assert [run.id for run in runs.list_runs("score")] == [made[2].id, made[0].id]
    assert recorder.ID.fullmatch(made[0].id) and "-score-" in made[0].id


def test_an_unchanged_folder_of_runs_is_read_once_and_every_change_is_seen(folder, monkeypatch):
    scans, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scans.append(path) or scan(path))

    def listed(scanned: bool) -> list[str]:
        scans.clear()
        names = {run.id for run in runs.list_runs()}
        assert bool(scans) == scanned
        return names

    def settle():
        past = time.time() - 10
        os.utime(folder, (past, past))

    first = queued("score")
    assert listed(True) == listed(True) == {first.id}, "it may change again at the same moment"
    settle()
    assert listed(True) == listed(False) == {first.id}
    second = queued("score")
    assert listed(True) == {first.id, second.id}
    pending = folder / "20260101-000000-score-late"
    pending.mkdir()
    settle()
    assert listed(True) == listed(True) == {first.id, second.id}
    # its request comes later, which does not change the folder of runs
    (pending / "request.json").write_text('{"kind": "score"}')
    settle()
    assert listed(True) == listed(False) == {first.id, second.id, pending.name}
    runs_folder.write_json(second.file("status.json"), runs.Status(state="done"))
    runs.delete(second)
    assert listed(True) == {first.id, pending.name}


def test_readers_never_see_half_a_file():
    with runs.record(SCORE) as run:
        over, bad, seen = threading.Event(), [], set()

        def look():
            while not over.is_set():
                try:
                    seen.add(json.loads(run.file("status.json").read_bytes())["stage"][:1])
                except ValueError as error:
                    bad.append(error)

        readers = [threading.Thread(target=look, daemon=True) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for step in range(200):
                run.progress(step, 200, "ab"[step % 2] * 5000)
                run._save()
        finally:
            over.set()
        for reader in readers:
            reader.join()
    assert bad == [] and seen >= {"a", "b"}


def test_start_runs_the_command_line_detached(tmp_path, monkeypatch):
    # stands in for the real command line, which imports torch
    package = tmp_path / "elsewhere" / "ctsft"
    package.mkdir(parents=True)
    code = "import os, sys, time\nprint(os.getsid(0) == os.getpid(), sys.argv[1:])\ntime.sleep(60)"
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(code)
    monkeypatch.setattr(launcher, "ROOT", package.parent)
    run = runs.start(runs.Request(kind="score", name="try"))
    assert (run.status().state, run.request.name) == ("queued", "try")
    assert run.request.cwd == os.getcwd()
    logs(run, "'run'")
    assert run.log_tail() == f"True ['run', {run.id!r}]"
    pid = json.loads(run.file("process.json").read_text())["pid"]
    runs.stop(run, "discard")
    assert processes.process_start_time(pid) is None and runs.list_runs() == []


def test_a_started_job_finds_the_packages_in_a_checkout_and_in_an_installation(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", "theirs")
    assert launcher.search_path(tmp_path) == [str(tmp_path), "theirs"]
    monkeypatch.setattr(launcher.site, "getsitepackages", lambda: [str(tmp_path)])
    assert launcher.search_path(tmp_path) == ["theirs"]


def test_the_folder_a_job_starts_in_never_replaces_the_programs_modules(tmp_path, monkeypatch):
    (tmp_path / "psutil.py").write_text("raise SystemExit('of the current folder')")
    (tmp_path / "ctsft.py").write_text("raise SystemExit('of the current folder')")
    monkeypatch.chdir(tmp_path)
    run = runs.start(runs.Request(kind="nothing"))
    logs(run, "not of this version")
