"""The shell's command that opens the explorer. It starts Streamlit as a process of its own: the
library and its command line import neither Streamlit nor the explorer.
"""

import errno
import importlib.util
import ipaddress
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Optional

import typer

from ctsft.cli.app import app
from ctsft.utils.errors import UserError

PORTS = range(8501, 8601)  # tried in this order where no port is requested
# of the explorer's settings file: where it listens, what it sends, what an error shows
SECTIONS = ("server", "browser", "client")
HOST_NAME = re.compile(r"(?!-)[\w-]{1,63}(\.[\w-]{1,63})*", re.ASCII)


@app.command("ui")
def open_explorer(
    port: Annotated[
        Optional[int], typer.Option("--port", help="Default: the first free one from 8501.")
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            "--address", help="Address to listen at; 0.0.0.0 lets other machines reach it."
        ),
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open a web browser.")
    ] = False,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            envvar="CTSFT_SHARED",
            help="For several people: everyone sees all runs, and stops, renames and deletes only"
            " their own.",
        ),
    ] = False,
    host: Annotated[
        Optional[list[str]],
        typer.Option(
            "--host",
            help="A name by which browsers reach this server, besides localhost and this machine's"
            " own; may be repeated.",
        ),
    ] = None,
):
    """Open the explorer in the browser; Ctrl-C ends it, started runs go on.

    Example: ctsft ui --port 8600
    """
    script = explorer_script()
    port = free_port(address, port)
    command = streamlit_command(script, address, port, no_browser or not has_display())
    settings = guard_settings(shared, host or [])
    if not ipaddress.ip_address(place_of(address, port)[4][0]).is_loopback:
        print(caution(shared, address, port), file=sys.stderr)
    print(f"The explorer is at {url(address, port)} (Ctrl-C ends it).", flush=True)
    replace_process(command, os.environ | settings)


def guard_settings(shared: bool, hosts: list[str]) -> dict[str, str]:
    """The environment variables that explorer/guard.py reads; a name given here is added to those
    that are set already. UserError for a text that is no host name.
    """
    for name in hosts:
        if not HOST_NAME.fullmatch(name):
            raise UserError(
                f"{name!r:.80} is not a host name; write it without https:// and port, such as"
                " explorer.example.org."
            )
    known = [name for name in os.environ.get("CTSFT_HOSTS", "").split(",") if name]
    settings = {"CTSFT_HOSTS": ",".join(dict.fromkeys([*known, *hosts]))}
    return settings | {"CTSFT_SHARED": str(int(shared))}


def caution(shared: bool, address: str, port: int) -> str:
    """What other people can do with an explorer that they can reach."""
    text = f"The explorer has no password: everyone who can reach {address} port {port} can use it."
    if shared:
        return (
            f"{text} They see all runs and their texts, start runs, and can open models and tables"
            " that you may read; they stop, rename and delete only their own runs."
        )
    return f"{text} Add --shared if several people do."


def explorer_script() -> Path:
    """The path of explorer/app.py, found without importing it."""
    for module in ("streamlit", "explorer"):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"The package {module!r} cannot be imported; install ctsft with its dependencies in"
                f" the environment of {sys.executable}."
            )
    for folder in importlib.util.find_spec("explorer").submodule_search_locations or ():
        if (script := Path(folder) / "app.py").is_file():
            return script
    raise UserError(
        "The package 'explorer' that Python finds is not the one of ctsft; start the command from"
        " another folder."
    )


def streamlit_command(script: Path, address: str, port: int, headless: bool) -> list[str]:
    """The command of the server. The explorer's settings are passed as options, so that neither
    a settings file elsewhere nor the environment replaces them.
    """
    file = script.parent / ".streamlit" / "config.toml"
    saved = tomllib.loads(file.read_text(encoding="utf-8"))
    settings = {
        f"{section}.{key}": value for section in SECTIONS for key, value in saved[section].items()
    }
    settings |= {
        "server.address": address,
        "server.port": port,
        "server.headless": headless,
        "server.showEmailPrompt": False,
        "logger.hideWelcomeMessage": True,  # it asks an outside server for this machine's address
    }
    options = [f"--{name}={option_text(value)}" for name, value in settings.items()]
    # -P: modules in the current folder never replace the program's
    return [sys.executable, "-P", "-m", "streamlit", "run", str(script), *options]


def option_text(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def free_port(address: str, port: int | None) -> int:
    """`port` if it can be listened at, or the first of PORTS that can; UserError if none can."""
    if port is None:
        for candidate in PORTS:
            if can_listen(address, candidate):
                return candidate
        raise UserError(
            f"No port from {PORTS[0]} to {PORTS[-1]} is free at {address}; name one with --port."
        )
    if not 1 <= port <= 65535:
        raise UserError(f"Port {port} does not exist; choose one from 1 to 65535.")
    if not can_listen(address, port):
        raise UserError(f"Port {port} is in use at {address}; choose another with --port.")
    return port


def can_listen(address: str, port: int) -> bool:
    """Whether a server could listen there now. UserError for an address that is not of this
    machine and for a port that needs rights the user lacks.
    """
    family, kind, _, _, place = place_of(address, port)
    try:
        with socket.socket(family, kind) as trial:
            if os.name != "nt":  # there it would share a port in use
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
    except PermissionError:
        raise UserError(
            f"Port {port} needs an administrator's rights; choose one from 1024 to 65535."
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise UserError(
            f"This machine cannot listen at {address} ({error.strerror}); name one of its own"
            " addresses, such as 127.0.0.1."
        ) from None
    return True


def place_of(address: str, port: int) -> tuple:
    """What `socket.getaddrinfo` tells first; UserError for what is not an address."""
    try:
        if not address.strip():
            raise ValueError
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, ValueError):
        raise UserError(
            f"{address!r} is not an address; name one of this machine, such as 127.0.0.1."
        ) from None


def has_display() -> bool:
    """Whether a browser can be opened: on Linux and its kin only where a screen is known."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def url(address: str, port: int) -> str:
    if address in ("0.0.0.0", "::"):
        return f"http://localhost:{port}"
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def replace_process(command: list[str], environment: dict[str, str]):
    """Run `command` in place of this process, so that a signal reaches the server itself."""
    if os.name != "nt":
        os.execve(command[0], command, environment)
    raise SystemExit(subprocess.call(command, env=environment))
