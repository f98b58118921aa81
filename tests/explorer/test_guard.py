"""What other people's pages may not do with the server: its rules, one by one, and the whole server
behind them.
"""

import ast
import socket
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from streamlit import config
from streamlit.runtime import Runtime
from streamlit.starlette import App

from explorer import guard
from explorer.guard import refusal

HERE = "localhost:8501"


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in (guard.HOSTS, guard.SHARED):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (HERE, None),  # a followed link, or another program
        (HERE, "http://localhost:8501"),
        ("127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("[::1]:8501", "http://[::1]:8501"),
        ("192.168.1.7:8501", "http://192.168.1.7:8501"),
        ("LOCALHOST:8501", "http://localhost:8501"),
        ("explorer.localhost", "http://explorer.localhost"),
        (f"{socket.gethostname()}:8501", None),
    ],
)
def test_the_servers_own_pages_are_served(host, origin):
    assert refusal(host, origin) == ""


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:9999",  # another program's port on this machine
        "http://localhost",
        "http://127.0.0.1:8501",  # another name is another origin
        "http://evil.example",
        "http://evil.example:8501",
        "http://localhost:8501.evil.example",
        "http://user@evil.example",
        "http://localhost:8501@evil.example",
        "null",  # a frame without an origin
        "file://",
        "",
        "http://[",
    ],
)
def test_an_origin_other_than_the_servers_own_is_refused(origin):
    assert "takes no requests from pages of" in refusal(HERE, origin)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8501", "localhost.evil.example", "127.0.0.1.evil.example"]
    + ["", ":8501", "localhost:x", "[evil", "notlocalhost"],
)
def test_a_foreign_name_for_this_machine_is_refused(host):
    """Its owner can point it here, and then its pages have the server's own origin."""
    assert "does not know the host name" in refusal(host, f"http://{host}")
    assert refusal(host, None)


def test_names_can_be_added(monkeypatch):
    monkeypatch.setenv(guard.HOSTS, "Lab.example, other.example")
    assert refusal("lab.example", "https://lab.example") == ""
    assert refusal("127.0.0.1:8501", "https://lab.example") == "", "behind a proxy"
    assert refusal("third.example", None) and refusal("lab.example", "https://third.example")


@pytest.fixture
def client(tmp_path, monkeypatch) -> TestClient:
    """A server of one page, built as the explorer's is, in this process."""
    monkeypatch.setattr(config, "_main_script_path", None)  # both are set by `App`
    monkeypatch.setattr(Runtime, "_instance", None)
    from explorer.app import AROUND

    script = tmp_path / "page.py"
    script.write_text("import streamlit as st\nst.write('hello')\n")
    app = App(script, **AROUND)
    with TestClient(app, base_url=f"http://{HERE}") as client:
        yield client


def pages() -> list[str]:
    """The names of all pages, the first one first."""
    lines = Path(guard.__file__).with_name("main.py").read_text(encoding="utf-8")
    (listed,) = (
        node.value
        for node in ast.parse(lines).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "PAGES"
    )
    return list(ast.literal_eval(listed))


def opens(client: TestClient, **headers: str) -> bool:
    """Whether the server takes a websocket with these headers."""
    try:
        with client.websocket_connect(f"ws://{HERE}/_stcore/stream", headers=headers):
            return True
    except Exception as refused:
        assert type(refused).__name__ == "WebSocketDisconnect", refused
        return False


def test_the_whole_server_answers_its_own_pages_only(client, monkeypatch):
    for path in ("/", "/_stcore/health", "/_stcore/host-config", "/nothing/here"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"] == "frame-ancestors 'self'", path
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200 and "set-cookie" not in page.headers
    foreign = {"Origin": "http://localhost:9999"}
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = client.request(method, "/_stcore/health", headers=foreign)
        assert answer.status_code == 403 and "takes no requests" in answer.text
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert opens(client) and opens(client, origin=f"http://{HERE}")
    assert not opens(client, origin="http://localhost:9999")
    assert not opens(client, origin="null")
    assert not opens(client, host="evil.example", origin="http://evil.example")

    for name in pages()[1:]:
        page = client.get(f"/{name}?k=3")
        assert "BACKEND_BASE_URL: location.origin" in page.text and page.status_code == 200
        assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "BACKEND_BASE_URL" not in client.get("/").text
    first = client.get("/setup?task=demo", follow_redirects=False)
    assert first.status_code == 307 and first.headers["location"] == "/?task=demo"

    monkeypatch.setenv(guard.SHARED, "1")
    page = client.get("/", headers={"Accept": "text/html,*/*"})
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie
    assert len(client.cookies[guard.COOKIE]) > 40
    again = client.get("/", headers={"Accept": "text/html"})
    assert "set-cookie" not in again.headers, "a reload does not change the secret"
    client.cookies.clear()
    assert guard.COOKIE not in client.get("/_stcore/health").headers["set-cookie"]
