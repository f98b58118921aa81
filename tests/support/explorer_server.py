"""The explorer's server as a real process: the sockets it listens at, and what it sends to a
browser that opens a page.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.NewSession_pb2 import Config
from websockets.sync.client import connect

SECONDS = 90  # a loaded machine needs half a minute to load torch and the model


@dataclass
class Page:
    """What a browser received until the element it waited for."""

    config: Config
    elements: list[Element]


@dataclass
class Server:
    process: subprocess.Popen
    port: int
    log: Path

    def listening(self) -> set[str]:
        """Every address at which the server or a process of its accepts connections."""
        parent = psutil.Process(self.process.pid)
        return {
            connection.laddr.ip
            for process in (parent, *parent.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }

    def open_page(self, until: Callable[[Element], bool]) -> Page:
        """Open the first page, as a browser does, and read until an element fulfils `until`."""
        page, end = Page(Config(), []), time.monotonic() + SECONDS
        address = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        with connect(address, subprotocols=["streamlit"], max_size=None, proxy=None) as line:
            request = BackMsg()
            request.rerun_script.query_string = ""
            line.send(request.SerializeToString())
            while True:
                message = ForwardMsg.FromString(line.recv(max(end - time.monotonic(), 0)))
                kind = message.WhichOneof("type")
                if kind == "new_session":
                    page.config = message.new_session.config
                if kind == "script_finished":
                    raise AssertionError(f"The page ended without it: {page.elements}")
                if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                    page.elements.append(message.delta.new_element)
                    if until(message.delta.new_element):
                        return page


@contextmanager
def serving(
    command: list, folder: Path, port: int, environment: dict[str, str]
) -> Iterator[Server]:
    """Start `command` in `folder` and wait until it answers at `port`; `environment` is whole."""
    log = folder.parent / f"{folder.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        await_answer(process, port, log)
        yield Server(process, port, log)
    finally:
        process.kill()  # it would end a rerun first
        process.wait()


def await_answer(process: subprocess.Popen, port: int, log: Path):
    end = time.monotonic() + SECONDS
    while True:
        try:
            return urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).read()
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                raise AssertionError(f"The explorer does not answer:\n{log.read_text()}") from None
            time.sleep(0.1)


def unused_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def plain_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a new shell: no path to the checkout, no setting of Streamlit's."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "STREAMLIT_"))
    }
    return inherited | {"CTSFT_HOME": str(home), **more}


def is_heading(element: Element) -> bool:
    return element.WhichOneof("type") == "heading"


def is_error(element: Element) -> bool:
    return element.WhichOneof("type") == "exception"
