"""One browser and two servers for all tests of this folder: one server with an empty home, and one
whose home holds a finished scoring run of the bundled model (random scores), a discovery and
tuning runs.
"""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from benchmarks.bench_compare import make
from benchmarks.browser import SHELL, WAIT, chrome, chromium, server, visitor
from benchmarks.ui_scenes import scored_home
from tests.support.stored_delta import write_delta
from tests.support.stored_discovery import write_discovery

expect.set_options(timeout=WAIT)
TUNED = "*finetune-bnch*"  # runs of the shared home; the first one has a delta
CHANGED = (1, 2)  # the head that differs in it


def pytest_collection_modifyitems(items):
    """Every test of this folder drives the browser."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    missing = pytest.mark.skipif(
        chromium() is None,
        reason="no Chromium is installed (Debian: apt-get install chromium-headless-shell)",
    )
    for item in here:
        item.add_marker(pytest.mark.browser)
        item.add_marker(missing)


@pytest.fixture(scope="package")
def shared_home(tmp_path_factory) -> Path:
    folder = scored_home(tmp_path_factory.mktemp("shared"))
    make(folder, 20)
    write_delta(min((folder / "runs").glob(TUNED)), CHANGED)
    write_discovery(folder)
    return folder


@pytest.fixture(scope="package")
def changed_head() -> tuple[int, int]:
    """The head that the first tuned run of the shared home changed."""
    return CHANGED


@pytest.fixture(scope="package")
def address(shared_home):
    with server(shared_home) as url:
        yield url


@pytest.fixture(scope="package")
def program():
    with chrome(shutil.which(SHELL)) as browser:  # less work a page than Chromium
        yield browser


@pytest.fixture(scope="module")
def page(program):
    """A visitor for the tests of a file, who meets no error."""
    page = visitor(program, height=800)
    yield page
    assert page.errors == []
    page.context.close()
