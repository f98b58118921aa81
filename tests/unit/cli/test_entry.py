"""The command's entry: an interruption at any moment, imports included, is one sentence."""

import os
import signal
import sys
from types import ModuleType

import pytest

from ctsft.__main__ import entry


class Importing(ModuleType):
    """A module whose import is interrupted."""

    def __getattr__(self, name):
        signal.raise_signal(self.number)


@pytest.fixture
def handlers():
    names = [name for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_an_interruption_during_imports_is_one_sentence_and_exit_code_1(monkeypatch, capsys, name):
    module = Importing("ctsft.cli.main")
    module.__dict__["number"] = getattr(signal, name)
    monkeypatch.setitem(sys.modules, "ctsft.cli.main", module)
    assert entry() == 1
    out, err = capsys.readouterr()
    assert out == "" and err == "ctsft: Interrupted; what was saved by then remains.\n"
    # nothing is left to interrupt
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("handlers")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_under_nohup_a_closed_terminal_is_ignored(monkeypatch, capsys):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(sys, "argv", ["ctsft", "--version"])
    assert entry() == 0 and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert capsys.readouterr().out.startswith("ctsft ")
