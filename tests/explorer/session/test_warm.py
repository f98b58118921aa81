"""The imports behind the first screen: who waits for them, and what they leave behind."""

import gc
import os
import sys
import threading
from importlib import import_module
from pathlib import Path

import pytest

from ctsft.runs import fork_server
from explorer.session import warm
from support import environment
from support.waiting import PATIENCE


def test_the_collector_no_longer_looks_through_the_libraries():
    gc.unfreeze()
    try:
        before = len(gc.get_objects())
        assert before > 100_000, "the libraries are imported"
        warm.leave_to_the_end()
        assert len(gc.get_objects()) < before / 10
    finally:
        gc.freeze()  # as the tests began


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="jobs fork on Linux")
def test_the_fork_server_may_begin_before_the_libraries_are_imported():
    """What they add to the environment, as TORCHINDUCTOR_CACHE_DIR, hinders no job."""
    for name in warm.MODULES:
        import_module(name)
    began = Path("/proc/self/environ").read_bytes().decode().split("\0")
    before = {pair.split("=", 1)[0] for pair in began}
    added = {name: "" for name in os.environ if name not in before}
    assert "TORCHINDUCTOR_CACHE_DIR" in added or "TORCHINDUCTOR_CACHE_DIR" in before
    assert not set(fork_server.read_at_import(added)) - set(environment.SETTINGS)


def test_the_fork_server_begins_beside_the_import(monkeypatch):
    order = []
    monkeypatch.setattr(warm, "_done", threading.Event())
    monkeypatch.setattr(warm, "MODULES", ("one",))
    monkeypatch.setattr(warm, "import_module", order.append)
    monkeypatch.setattr(warm, "leave_to_the_end", lambda: None)
    monkeypatch.setattr(warm.runs, "prepare", lambda: order.append("prepare"))
    warm._import()
    assert order == ["prepare", "one"] and warm._done.is_set()


def test_sessions_wait_for_one_import(monkeypatch):
    begun, go_on, imported, ready = threading.Event(), threading.Event(), [], []

    def slow(name: str):
        imported.append(threading.current_thread().name)
        begun.set()
        assert go_on.wait(PATIENCE)

    monkeypatch.setattr(warm, "_thread", None)
    monkeypatch.setattr(warm, "_done", threading.Event())
    monkeypatch.setattr(warm, "MODULES", ("one",))
    monkeypatch.setattr(warm, "import_module", slow)
    monkeypatch.setattr(warm, "leave_to_the_end", lambda: None)
    monkeypatch.setattr(warm.runs, "prepare", lambda: None)
    monkeypatch.delitem(warm.sys.modules, "torch")

    def session():
        warm.load()
        ready.append(go_on.is_set())

    sessions = [threading.Thread(target=session) for _ in range(3)]
    sessions[0].start()
    assert begun.wait(PATIENCE)
    monkeypatch.setitem(warm.sys.modules, "torch", None)  # half imported
    for one in sessions[1:]:
        one.start()
    sessions[1].join(0.1)
    assert not ready and not warm.is_ready()
    go_on.set()
    for one in sessions:
        one.join(PATIENCE)
    assert ready == [True] * 3 and len(imported) == 1
