"""Shared by the library's tests: the shell, a subject and a scoring run of it."""

import sys

import pytest

from ctsft.cli.main import main
from ctsft.jobs import requests
from support.jobs import SMALL, done
from support.tasks import agreed, two_languages, write_task


@pytest.fixture
def shell(capsys, monkeypatch):
    """shell(*words) -> exit code, stdout, stderr without the lines that tell progress."""

    def call(*words):
        words = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["ctsft", *words])
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if not line.endswith("...")]

    return call


@pytest.fixture
def tiny_words(subject):
    return ["--model", subject.model, "--task", subject.task, "--device", "cpu"]


@pytest.fixture(scope="session")
def subject(folders, loaded, task, tmp_path_factory) -> requests.Subject:
    """A tiny Qwen2 and a task whose source rows it predicts correctly; its target rows can be
    learnt.
    """
    rows = agreed(loaded["qwen2"], task, each=18)
    tables = two_languages(rows, 36, 9, (24, 9, 9))
    return requests.Subject(
        str(folders["qwen2"]),
        str(write_task(tmp_path_factory.mktemp("task"), tables)),
        device="cpu",
    )


@pytest.fixture
def scored(subject, home):
    return done(requests.ScoreRequest(subject=subject, scoring=SMALL, preview=True))[0]
