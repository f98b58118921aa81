"""`ctsft ui`: what it refuses, and the command with which it starts the server."""

import importlib.util
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

import ctsft
from ctsft.cli import ui
from support.explorer_server import unused_port
from support.shell import bad


def test_the_command_refuses_what_it_cannot_use_in_one_sentence(shell):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, sentence in [
            (["--port", "0"], "Port 0 does not exist; choose one from 1 to 65535."),
            (["--port", "65536"], "Port 65536 does not exist; choose one from 1 to 65535."),
            (["--port", port], f"Port {port} is in use at 127.0.0.1; choose another with --port."),
            (["--address", "no such"], "'no such' is not an address; name one of this machine,"),
            (["--address", ""], "'' is not an address; name one of this machine,"),
            (["--address", "192.0.2.1"], "This machine cannot listen at 192.0.2.1 ("),
        ]:
            bad(shell("ui", *arguments), sentence)


@pytest.fixture
def specs(monkeypatch) -> dict:
    """Packages that Python finds otherwise than it does: name -> folder, or None for missing."""
    package_folders, find = {}, importlib.util.find_spec

    def changed(name: str):
        if name not in package_folders:
            return find(name)
        if package_folders[name] is None:
            return None
        return SimpleNamespace(submodule_search_locations=[package_folders[name]])

    monkeypatch.setattr(ui.importlib.util, "find_spec", changed)
    return package_folders


@pytest.mark.parametrize("module", ["explorer", "streamlit"])
def test_the_command_says_which_package_is_missing(shell, specs, module):
    specs[module] = None
    bad(shell("ui"), f"The package {module!r} cannot be imported; install ctsft")


def test_another_package_of_that_name_is_not_started(shell, specs, tmp_path):
    specs["explorer"] = tmp_path
    bad(shell("ui"), "is not the one of ctsft")


@pytest.fixture
def started(monkeypatch) -> list:
    """The commands that would replace this process; `started.environments` beside them."""

    class Started(list):
        environments: list

    calls = Started()

    def replace(command, environment):
        calls.append(command)
        calls.environments.append(environment)

    calls.environments = []
    monkeypatch.setattr(ui, "replace_process", replace)
    for name in ("CTSFT_HOSTS", "CTSFT_SHARED"):
        monkeypatch.delenv(name, raising=False)
    return calls


def test_the_command_warns_where_other_machines_can_reach_it(shell, started):
    port = unused_port()
    code, output, errors = shell("ui", "--address", "0.0.0.0", "--port", port, "--no-browser")
    assert code == 0 and "has no password" in errors[0] and "Add --shared" in errors[0]
    assert output == f"The explorer is at http://localhost:{port} (Ctrl-C ends it).\n"
    assert {"--server.address=0.0.0.0", f"--server.port={port}"} <= set(started[0])
    code, output, errors = shell("ui", "--port", port)
    assert code == 0 and not errors and "--server.address=127.0.0.1" in started[1]


def test_shared_says_what_others_can_do_and_reaches_the_server(shell, started, monkeypatch):
    monkeypatch.setenv("CTSFT_HOSTS", "lab.example")
    port = unused_port()
    options = ["--address", "0.0.0.0", "--port", port, "--no-browser", "--host", "a.example"]
    code, _, errors = shell("ui", "--shared", *options)
    assert code == 0 and "stop, rename and delete only their own runs" in errors[0]
    code, _, _ = shell("ui", "--port", port)
    assert [
        (words["CTSFT_SHARED"], words["CTSFT_HOSTS"].split(",")) for words in started.environments
    ] == [("1", ["lab.example", "a.example"]), ("0", ["lab.example"])]
    monkeypatch.setenv("CTSFT_SHARED", "1")
    assert shell("ui", "--port", port)[0] == 0 and started.environments[-1]["CTSFT_SHARED"] == "1"


@pytest.mark.parametrize("name", ["https://a.example", "a.example:80", "", "a,b", "-a", "*"])
def test_a_host_that_is_no_name_is_refused(shell, name):
    bad(shell("ui", "--host", name), f"{name!r} is not a host name")


def test_without_a_port_the_first_free_one_is_used(monkeypatch):
    ports = (unused_port(), unused_port())
    monkeypatch.setattr(ui, "PORTS", ports)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[0]))
        taken.listen()
        assert ui.free_port("127.0.0.1", None) == ports[1]


def test_a_display_decides_whether_a_browser_opens(shell, started, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for display, words in [("", []), (":0", []), (":0", ["--no-browser"])]:
        monkeypatch.setenv("DISPLAY", display)
        shell("ui", *words)
    headless = [word for command in started for word in command if "headless" in word]
    assert headless == [f"--server.headless={value}" for value in ("true", "false", "true")]


def test_the_version_is_that_of_the_package(shell):
    assert shell("--version") == (0, f"ctsft {ctsft.__version__}\n", [])


def test_help_waits_for_no_model_library():
    code = (
        "import sys\nfrom ctsft.cli.main import main\nmain(['--help'])\n"
        "slow = {'torch', 'transformers', 'streamlit', 'pandas', 'explorer'} & set(sys.modules)\n"
        "sys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--install-completion" in done.stdout and "  ui " in done.stdout
