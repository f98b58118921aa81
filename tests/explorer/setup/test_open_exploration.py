"""Opening an exploration on Setup: a bundle becomes read-only runs, a foreign file a sentence."""

import io

import pytest

from ctsft import runs
from ctsft.jobs.bundle import write_bundle
from explorer.setup import open_exploration
from support.finetune_page import tuned
from support.pages import button, texts, visit

PAGE = "setup/page.py"


@pytest.fixture
def bundle(finetune_view, tmp_path) -> io.BytesIO:
    run = tuned(finetune_view)
    write_bundle([run.id], tmp_path / "theirs.zip")
    runs.delete(run)
    file = io.BytesIO((tmp_path / "theirs.zip").read_bytes())
    file.name = "theirs.zip"
    return file


def test_an_exploration_is_opened_listed_and_removed(finetune_view, bundle, monkeypatch):
    monkeypatch.setattr(open_exploration.st, "file_uploader", lambda *_, **__: bundle)
    at = visit(finetune_view, PAGE)
    at = button(at, "Open").click().run()
    assert not at.exception and not at.error and r"**theirs\.zip**: 1 run on Compare" in texts(at)
    assert len(runs.list_read_only()) == 1
    at = button(at, "Remove").click().run()
    assert not at.exception and "theirs" not in texts(at) and runs.list_read_only() == []


def test_a_foreign_file_is_refused_in_a_sentence(finetune_view, monkeypatch):
    file = io.BytesIO(b"#!/bin/sh")
    file.name = "evil.zip"
    monkeypatch.setattr(open_exploration.st, "file_uploader", lambda *_, **__: file)
    at = button(visit(finetune_view, PAGE), "Open").click().run()
    assert not at.exception and "The bundle evil.zip cannot be opened" in at.error[0].value
    assert runs.list_read_only() == []
