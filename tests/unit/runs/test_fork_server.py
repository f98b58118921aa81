"""Jobs forked from a process that has imported what they need."""

import os
import signal
import sys

import psutil
import pytest

from ctsft.runs import fork_server
from ctsft.runs.fork_server import ForkServer, Job
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="jobs fork on Linux")

REPORT = "support.forked:report"


@pytest.fixture
def server():
    """A server that has imported one small module."""
    server = ForkServer(["support.forked"], os.environ)
    assert server.is_ready(60)
    yield server
    server.close()


@pytest.fixture
def job(tmp_path):
    """job(arguments, function, **environment): it works in a folder of its own."""
    folder = tmp_path / "work"
    folder.mkdir()

    def make(*arguments, function=REPORT, **environment) -> Job:
        log = str(tmp_path / "log.txt")
        return Job(function, arguments, str(folder), dict(os.environ) | environment, log)

    return make


def test_a_forked_job_has_its_own_session_folder_environment_and_log(server, job, tmp_path):
    (tmp_path / "log.txt").write_text("before\n")
    wanted = job("one", "two", CTSFT_HOME="/of/the/job")
    pid = server.fork(wanted)
    assert pid != os.getpid() and wait_until(lambda: not psutil.pid_exists(pid))
    before, *lines = (tmp_path / "log.txt").read_text().splitlines()
    assert before == "before"
    assert lines == [
        "arguments ['one', 'two']",
        f"folder {tmp_path / 'work'}",
        "home /of/the/job",
        f"session of its own {True}",
        "to stderr",
    ]


def test_a_new_log_is_the_users_own(server, job, tmp_path):
    pid = server.fork(job())
    assert wait_until(lambda: not psutil.pid_exists(pid))
    assert (tmp_path / "log.txt").stat().st_mode & 0o777 == 0o600


def test_jobs_outlive_the_server_and_the_server_ends_with_its_program(server, job):
    pid = server.fork(job(function="support.forked:wait"))
    process = psutil.Process(pid)
    assert process.ppid() == server._process.pid
    server.close()
    assert wait_until(lambda: not psutil.pid_exists(server._process.pid))
    assert process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    process.kill()
    assert wait_until(lambda: not psutil.pid_exists(pid))


def test_what_libraries_read_when_they_are_imported_must_be_the_same(server, job):
    assert server.fork(job(OMP_NUM_THREADS="3")) is None
    assert server.fork(job(HF_HOME="/elsewhere")) is None
    assert server.fork(job(ANYTHING_ELSE="3"))


def test_what_the_programs_libraries_set_while_it_runs_is_no_hindrance(server, job):
    """scikit-learn sets KMP_INIT_AT_FORK when a page first needs it, after the server began."""
    import sklearn  # noqa: F401

    added = {name for name in os.environ if name.startswith("KMP_")}
    assert added and added <= set(fork_server.SET_BY_LIBRARIES)
    assert server.fork(job(**dict.fromkeys(fork_server.SET_BY_LIBRARIES, "another")))
    assert server.fork(job(KMP_AFFINITY="none")) is None


def test_a_server_that_has_ended_starts_nothing_and_says_so(server, job):
    server._process.kill()
    server._process.wait()
    assert server.fork(job()) is None and server.fork(job()) is None


def test_a_server_that_does_not_answer_is_ended_and_never_starts_the_job(
    server, job, tmp_path, monkeypatch
):
    """The caller starts the job itself, and one run is never worked on by two processes."""
    monkeypatch.setattr(fork_server, "SECONDS", 0.1)
    os.kill(server._process.pid, signal.SIGSTOP)
    assert server.fork(job()) is None
    assert wait_until(lambda: not psutil.pid_exists(server._process.pid))
    assert not (tmp_path / "log.txt").exists()


def test_a_server_that_cannot_import_is_never_ready(job):
    server = ForkServer(["no.such.module"], os.environ)
    assert not server.is_ready(30) and server.fork(job()) is None
    server.close()


def test_a_server_that_still_imports_ends_with_its_program(tmp_path):
    begun = tmp_path / "begun"
    server = ForkServer(["support.imported_slowly"], os.environ | {"CTSFT_TEST_BEGUN": str(begun)})
    process = psutil.Process(server._process.pid)
    try:
        assert wait_until(begun.exists) and not server.is_ready()
        server.close()
        assert wait_until(lambda: not process.is_running())
    finally:
        server._process.kill()


def test_without_a_server_nothing_is_forked(job, monkeypatch):
    monkeypatch.setattr(fork_server, "_server", None)
    assert fork_server.fork(job()) is None and not fork_server.is_ready()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not fork_server.start(["support.forked"], os.environ) and fork_server._server is None
