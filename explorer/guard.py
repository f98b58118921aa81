"""What other people's pages may not do with the server: show it in a frame, send it requests, or
reach it under a name of their own.

- Every answer forbids frames of other sites (`frame-ancestors`, for older browsers
  `X-Frame-Options`).
- A request or websocket that names an origin other than the server's own is refused. A page at
  another port of this machine is another origin.
- A request under a host name that the server does not know is refused: a foreign name that its
  owner points at this machine (DNS rebinding) would make a foreign page look like the server's own.
  Known are addresses in numbers, localhost, this machine's name, and the names in CTSFT_HOSTS.

On a shared server it also gives each browser the secret that tells visitors apart
(`session.visitors`).
"""

import ipaddress
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse

# environment variables, set by `ctsft ui`
HOSTS = "CTSFT_HOSTS"  # further names of the server, separated by commas
SHARED = "CTSFT_SHARED"  # "1": several people use the server

COOKIE = "ctsft_visitor"  # the browser's secret on a shared server
COOKIE_AGE = 365 * 24 * 3600  # seconds

HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Guard:
    """An ASGI middleware around the whole server."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send):
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        problem = refusal(headers.get("host", ""), headers.get("origin"))
        if problem and scope["type"] == "websocket":
            # before the handshake is accepted, this answers 403
            await send({"type": "websocket.close", "code": 1008, "reason": problem[:100]})
            return
        answer = PlainTextResponse(problem, 403) if problem else self.app
        cookie = "" if problem else new_cookie(scope, headers)
        await answer(scope, receive, with_headers(send, cookie))


def with_headers(send: Send, cookie: str) -> Send:
    """`send`, with HEADERS in the answer, and with a cookie unless it is ""."""

    async def sending(message: MutableMapping[str, Any]):
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            if cookie:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return sending


def refusal(host: str, origin: str | None) -> str:
    """Why a request is refused, in a sentence; "" for one that is served. `origin` is None where a
    browser names none (a followed link) and for other programs.
    """
    name = host_name(f"//{host}")
    if not is_known(name):
        return (
            f"This explorer does not know the host name {name!r:.80}; open it at localhost, or"
            " start it with `ctsft ui --host NAME` to use that name."
        )
    if origin is None or origin.lower().partition("://")[2] == host.lower():
        return ""
    if host_name(origin) in named_hosts():  # a proxy that passes its own address on
        return ""
    page = f"{origin!r:.80}"
    return f"This explorer takes no requests from pages of {page}; open it in a tab of its own."


def host_name(url: str) -> str:
    """The host of an address, without port; "" for none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").rstrip(".") if parts.port != -1 else ""
    except ValueError:  # a port that is none, brackets without an address
        return ""


def is_known(name: str) -> bool:
    machine = socket.gethostname().lower()
    if name in ("localhost", machine, f"{machine.partition('.')[0]}.local", *named_hosts()):
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.endswith(".localhost")  # no name server is asked for these
    return True


def named_hosts() -> list[str]:
    names = os.environ.get(HOSTS, "").lower().split(",")
    return [name.strip() for name in names if name.strip()]


def is_shared() -> bool:
    return os.environ.get(SHARED) == "1"


def new_cookie(scope: Scope, headers: Headers) -> str:
    """The cookie with a new secret for a page that is opened without one; "" otherwise."""
    is_page = scope["type"] == "http" and "text/html" in headers.get("accept", "")
    if not is_shared() or not is_page or COOKIE in cookie_parser(headers.get("cookie", "")):
        return ""
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return (
        f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; Max-Age={COOKIE_AGE}; HttpOnly;"
        f" SameSite=Lax{secure}"
    )
