"""Visitors of the explorer for the load benchmark: one that speaks Streamlit's protocol over a
websocket, as a page does but without drawing, and the server's memory as the system counts it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

ANSWER = 120.0  # seconds in which a page has to answer
SAMPLE = 1.0  # seconds between two readings of the memory
ENDED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)


class Visitor:
    """One session. `errors` holds what its pages called an error."""

    def __init__(self, address: str):
        place = address.removeprefix("http://")
        self.line = connect(
            f"ws://{place}/_stcore/stream",
            subprotocols=["streamlit"],
            origin=f"http://{place}",
            max_size=None,
            proxy=None,
        )
        self.pages: dict[str, str] = {}  # title -> Streamlit's hash of it
        self.errors: list[str] = []

    def open(self, title: str = "") -> float:
        """Open a page, as a click in the sidebar does ("": the first one), and wait until it has
        answered; seconds. TimeoutError where it does not.
        """
        request = BackMsg()
        request.rerun_script.query_string = ""
        if title:
            request.rerun_script.page_script_hash = self.pages[title]
        began = time.perf_counter()
        self.line.send(request.SerializeToString())
        while True:
            left = ANSWER - (time.perf_counter() - began)
            message = ForwardMsg.FromString(self.line.recv(max(left, 0)))
            kind = message.WhichOneof("type")
            if kind == "navigation":
                self.pages = {
                    page.page_name: page.page_script_hash for page in message.navigation.app_pages
                }
            if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                self.note_error(message.delta.new_element)
            if kind == "script_finished" and message.script_finished in ENDED:
                return time.perf_counter() - began

    def note_error(self, element: Element):
        if element.WhichOneof("type") == "exception":
            self.errors.append(element.exception.message[:200])
        if element.WhichOneof("type") == "alert" and element.alert.format == Alert.ERROR:
            self.errors.append(element.alert.body[:200])

    def close(self):
        self.line.close()


class Memory:
    """The memory of a server's process, read once a second: [(seconds, bytes)]."""

    def __init__(self, pid: int):
        self.process = psutil.Process(pid)
        self.began = time.perf_counter()
        self.readings: list[tuple[float, int]] = []

    def now(self) -> int:
        """Bytes that the process holds resident."""
        return self.process.memory_info().rss

    @contextmanager
    def watched(self) -> Iterator["Memory"]:
        over = threading.Event()

        def watch():
            while not over.wait(SAMPLE):
                self.readings.append((time.perf_counter() - self.began, self.now()))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
