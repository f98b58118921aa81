"""One server and one browser for all tests of a file: a folder with the bundled model's finished
scoring run (random scores) and tuning runs.
"""

from pathlib import Path

import pytest

from benchmarks.bench_compare import make
from benchmarks.browser import chrome, server
from benchmarks.ui_scenes import scored_home


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory) -> Path:
    folder = scored_home(tmp_path_factory.mktemp("shared"))
    make(folder, 6)
    return folder


@pytest.fixture(scope="module")
def address(shared_home):
    with server(shared_home) as found:
        yield found


@pytest.fixture(scope="module")
def program():
    with chrome() as found:
        yield found
