"""The Setup page on a tiny model and a task that it knows."""

from dataclasses import replace

import pytest

from support.setup_page import opened
from support.tasks import LABELS, agreed, write_task


@pytest.fixture(scope="session")
def known(loaded, task):
    """Rows that the tiny model gets right."""
    return agreed(loaded["qwen2"], task, 8)


@pytest.fixture
def files(tmp_path, known):
    """A task file: the source's rows are all answered correctly, the target's carry the labels of
    their neighbours.
    """
    wrong = [replace(row, label=LABELS[(LABELS.index(row.label) + 1) % 3]) for row in known]
    return write_task(
        tmp_path / "task",
        {
            (language, split): rows
            for language, rows in (("indonesian", known), ("javanese", wrong))
            for split in ("train", "test")
        },
    )


@pytest.fixture
def shown(folders, files):
    return opened(
        model_kind="folder",
        folder=str(folders["qwen2"]),
        model=str(folders["qwen2"]),
        task_kind="file",
        task_file=str(files),
        task=str(files),
        target="javanese",
    )
