"""The explorer's safe settings hold wherever it is started: it listens at this machine's own
address only, sends no usage statistics, and shows no details of an error.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from support.explorer_server import is_error, is_heading, plain_environment, serving, unused_port

ROOT = Path(__file__).resolve().parents[2]
SECRET = "planted words"
UNSAFE = """
[server]
address = "0.0.0.0"
[browser]
gatherUsageStats = true
[client]
showErrorDetails = "full"
"""


@pytest.fixture
def broken(tmp_path) -> Path:
    """A copy of the explorer whose page fails at once, and beside the copy an empty folder in
    which a user would start it.
    """
    copy = tmp_path / "copy" / "explorer"
    shutil.copytree(ROOT / "explorer", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "main.py").write_text(f"raise RuntimeError({SECRET!r})")
    (tmp_path / "foreign").mkdir()
    return copy


def by_streamlit(script: Path, port: int) -> list:
    return [sys.executable, "-m", "streamlit", "run", script, "--server.port", port]


def by_command(script: Path, port: int) -> list:
    return [sys.executable, "-m", "ctsft", "ui", "--no-browser", "--port", port]


def visible(copy: Path) -> str:
    return os.pathsep.join(map(str, (copy.parent, ROOT)))


@pytest.mark.parametrize("started", [by_streamlit, by_command])
def test_settings_hold_in_a_foreign_folder_with_unsafe_ones(broken, home, started):
    folder, port = broken.parents[1] / "foreign", unused_port()
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(UNSAFE)
    environment = plain_environment(home, PYTHONPATH=visible(broken))
    if started is by_command:  # its options are stronger than the environment, too
        environment |= {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}
        environment |= {"STREAMLIT_CLIENT_SHOW_ERROR_DETAILS": "full"}
    with serving(started(broken / "app.py", port), folder, port, environment) as server:
        assert server.listening() == {"127.0.0.1"}
        page = server.open_page(until=is_error)
    assert page.config.gather_usage_stats is False
    error = page.elements[-1].exception
    assert SECRET not in str(error) and not error.stack_trace


def test_the_checks_notice_an_explorer_without_settings(broken, home):
    shutil.rmtree(broken / ".streamlit")
    folder, port = broken.parents[1] / "foreign", unused_port()
    # the two options spare it a prompt and a question to an outside server
    options = ["--server.headless", "true", "--browser.serverAddress", "localhost"]
    command = [*by_streamlit(broken / "app.py", port), *options]
    with serving(command, folder, port, plain_environment(home)) as server:
        assert server.listening() - {"127.0.0.1"}
        page = server.open_page(until=is_error)
    assert page.config.gather_usage_stats is True
    error = page.elements[-1].exception
    assert SECRET in error.message and error.stack_trace


def test_the_explorer_opens_from_a_foreign_folder(tmp_path, home):
    (tmp_path / "foreign").mkdir()
    port = unused_port()
    command = by_streamlit(ROOT / "explorer" / "app.py", port)
    with serving(command, tmp_path / "foreign", port, plain_environment(home)) as server:
        assert server.listening() == {"127.0.0.1"}
        page = server.open_page(until=is_heading)
    assert not any(map(is_error, page.elements))
