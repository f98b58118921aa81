"""The view of this folder's tests."""

import pytest

from explorer.session.view import View
from support.relevance_page import SIZE
from support.tasks import agreed, write_task


@pytest.fixture(scope="session")
def task_file(loaded, task, tmp_path_factory):
    rows = agreed(loaded["qwen2"], task, 8)
    files = {
        (language, split): rows
        for language in ("indonesian", "javanese")
        for split in ("train", "test")
    }
    return write_task(tmp_path_factory.mktemp("task"), files)


@pytest.fixture
def view(folders, task_file) -> View:
    name = str(folders["qwen2"])
    return View(
        model_kind="folder",
        folder=name,
        model=name,
        task_kind="file",
        task_file=str(task_file),
        task=str(task_file),
        target="javanese",
        size=SIZE,
    )
