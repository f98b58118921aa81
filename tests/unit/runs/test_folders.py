"""The folders of runs: private, locked while one looks and starts, gone without an orphan when they
cannot be written, and missed by their job when somebody removes them.
"""

import errno
import os
import signal
import stat
import threading

import pytest

from ctsft import runs
from ctsft.cli.main import main
from ctsft.runs import launcher
from ctsft.runs.interrupts import Interrupts, interrupts
from ctsft.runs.lock import runs_lock
from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError

SCORE = runs.Request(kind="score")


def modes(folder) -> set[str]:
    """Modes of everything in a folder that others could use."""
    return {
        f"{path.name} {stat.filemode(path.stat().st_mode)}"
        for path in [folder, *folder.rglob("*")]
        if path.stat().st_mode & atomic_files.OTHERS
    }


@pytest.fixture
def unstarted(monkeypatch):
    """Jobs that the launcher starts: commands, and no processes."""

    class Child:
        pid = os.getpid()  # it runs

        def __init__(self, command, **settings):
            Child.commands.append(command)

        def wait(self):
            return 0

    Child.commands = []
    monkeypatch.setattr(launcher.subprocess, "Popen", Child)
    return Child.commands


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_run_folders_are_private_to_the_user(home, unstarted):
    before = os.umask(0o022)
    try:
        with runs.record(SCORE) as run:
            run.event(step=1)
            with atomic_files.atomic_path(run.file("model"), "it") as part:
                part.mkdir()
                (part / "a.txt").write_text("x")
            runs.stop(run)
        with pytest.raises(ZeroDivisionError), runs.record(SCORE, run.id) as run:
            raise ZeroDivisionError
        queued = runs.start(SCORE)
        assert {"events.jsonl", "log.txt", "model"} <= {path.name for path in run.path.iterdir()}
        assert modes(home) == set() and queued.path.is_dir()
        # the control, and a folder that the user keeps open stays open
        (home / "open").mkdir()
        atomic_files.write_text(home / "open" / "file", "x")
        assert modes(home) == {"open drwxr-xr-x", "file -rw-r--r--"}
    finally:
        os.umask(before)


def test_two_that_look_at_once_start_one_run(monkeypatch, unstarted):
    with runs.record(SCORE) as run:
        pass
    both, outcomes = threading.Barrier(2), []

    def resume():
        both.wait()
        try:
            runs.resume(run)
            outcomes.append("started")
        except runs.RunError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=resume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(unstarted) == 1 and sorted(outcomes)[1] == "started", outcomes
    assert "running already" in sorted(outcomes)[0]


def test_a_lock_that_stays_held_is_one_sentence(monkeypatch):
    monkeypatch.setattr("ctsft.runs.lock.PATIENCE", 0.05)
    with runs_lock(), pytest.raises(UserError, match="Another process"), runs.record(SCORE):
        pass
    assert runs.list_runs() == []


@pytest.mark.parametrize("call", ["event", "progress", "stop_requested", "waits", "nothing"])
def test_a_run_folder_that_is_removed_ends_its_job_with_a_sentence(call):
    calls = {
        "event": lambda run: run.event(step=2),
        "progress": lambda run: run.progress(1, 2),
        "stop_requested": lambda run: run.stop_requested(),
        "waits": lambda run: run.waits("for nothing"),
        "nothing": lambda run: None,
    }
    removed = pytest.raises(runs.RunRemoved, match="was removed while its job ran")
    with removed, runs.record(SCORE) as run:
        atomic_files.remove(run.path)
        calls[call](run)
    assert not run.path.exists()


def test_what_fails_because_the_folder_is_gone_says_so_in_the_shell(monkeypatch, capsys):
    def job(run, request):
        atomic_files.remove(run.path)
        run.file("x").write_text("x")

    monkeypatch.setattr("ctsft.cli.run.job_of", lambda kind: job)
    assert main(["faithfulness", "--scores", "none", "--device", "cpu"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "was removed while its job ran" in error and "log" not in error


@pytest.mark.parametrize("name", ["request.json", "status.json"])
@pytest.mark.parametrize("begin", [runs.start, lambda request: runs.record(request).__enter__()])
def test_a_disk_that_is_full_at_the_very_start_leaves_no_folder(
    monkeypatch, unstarted, begin, name
):
    real = atomic_files.write_bytes

    def full(path, data, new=False):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, new)

    monkeypatch.setattr(atomic_files, "write_bytes", full)
    with pytest.raises(atomic_files.DiskFull, match=name.removesuffix(".json")):
        begin(SCORE)
    assert runs.list_runs() == [] and not any((runs.home() / "runs").iterdir())


@pytest.mark.parametrize("where", ["file", "below a file", "null", "unknown user", "read only"])
def test_an_impossible_home_is_one_sentence_and_exit_code_2(
    where, tmp_path, monkeypatch, capsys, unstarted
):
    (tmp_path / "file").write_text("x")
    (tmp_path / "read only").mkdir()
    named = {"null": "/dev/null/home", "unknown user": "~nobody-of-that-name/home"}
    named |= {"below a file": str(tmp_path / "file" / "home")}
    monkeypatch.setenv("CTSFT_HOME", named.get(where, str(tmp_path / where)))
    if where == "read only":  # root may write everywhere
        monkeypatch.setattr("ctsft.utils.home.os.access", lambda *_: False)
    for arguments in (["faithfulness", "--scores", "none"], ["runs"]):
        if arguments == ["runs"] and where == "read only":
            continue
        assert main(arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and "CTSFT_HOME" in lines[0], lines
    with pytest.raises(UserError, match="CTSFT_HOME"):
        runs.start(SCORE)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", 0)])
def test_a_signal_stops_a_job_and_the_run_can_be_resumed(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), runs.record(SCORE) as run:
        signal.raise_signal(number)
    assert run.status().state == "stopped" and "interrupted" in run.status().message
    assert signal.getsignal(number) == before
    with runs.record(SCORE, run.id) as again:
        pass
    assert again.status().state == "done"


def test_a_signal_while_the_record_is_written_waits_and_one_of_nohup_is_ignored():
    with pytest.raises(KeyboardInterrupt), interrupts() as signals:
        signal.raise_signal(signal.SIGINT)  # held
        signals.release()
    with pytest.raises(KeyboardInterrupt), interrupts() as outer:
        outer.release()
        with interrupts() as inner:
            inner.release()
            inner.hold()
            signal.raise_signal(signal.SIGTERM)  # meant for the job around it too
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts() as signals:
            signals.release()
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not isinstance(signal.getsignal(signal.SIGINT), Interrupts)
