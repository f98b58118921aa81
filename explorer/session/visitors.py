"""Who is who on a server that several people share (`ctsft ui --shared`).

A browser has a random secret in a cookie, which `explorer.guard` gives it with the first page and
which stays for a year; it survives reloads and new sessions. What a visitor starts or saves is
marked on disk with a hash of the secret, from which the secret cannot be found. Without the mode
everything belongs to the one user, and nothing is marked.
"""

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

import streamlit as st

from ctsft.utils.atomic_files import write_bytes
from explorer import guard

OWNER = "owner"  # the file of a run folder, or of an exploration, that is marked
SHORTEST = 40  # characters of a secret that the guard gave


def secret() -> str:
    """Where the browser takes no cookie, the secret lasts as long as this session."""
    given = st.context.cookies.get(guard.COOKIE, "")
    if len(given) >= SHORTEST:
        return given
    return st.session_state.setdefault("visitor", secrets.token_urlsafe(32))


def mark() -> str:
    """The hash of the visitor's secret."""
    return hashlib.sha256(f"ctsft visitor {secret()}".encode()).hexdigest()


def claim(path: Path):
    """On a shared server, mark what the file stands beside as the visitor's."""
    if guard.is_shared():
        write_bytes(path, mark().encode())


def is_mine(path: Path) -> bool:
    """Whether the visitor may change what the file stands beside; without a mark nobody may."""
    if not guard.is_shared():
        return True
    with suppress(OSError):
        return hmac.compare_digest(path.read_bytes(), mark().encode())
    return False
