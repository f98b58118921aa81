"""Which heads of a finished run have their old weights back on the page, and what that measures."""

import hashlib
from pathlib import Path

import streamlit as st

from ctsft import runs
from ctsft.attribution.scores import Head
from ctsft.utils.format import head_name
from explorer.text.run_names import display_name


def undone(run_id: str) -> list[Head]:
    """The heads that are undone on the page."""
    return sorted(map(tuple, st.session_state.get(f"undone_{run_id}", ())))


def choose(run_id: str, heads: list[Head]):
    """Undo exactly these heads; for callbacks."""
    st.session_state[f"undone_{run_id}"] = sorted(heads)


def toggle(run_id: str, head: Head):
    choose(run_id, sorted({*undone(run_id)} ^ {head}))


def metrics(rows: dict, tuned: dict, after: dict):
    for column, language in zip(st.columns(len(after)), after, strict=True):
        column.metric(
            display_name(language),
            f"{after[language]:.3f}",
            f"{after[language] - tuned[language]:+.3f} against tuned",
        )
    counts = ", ".join(f"{count} {display_name(name)}" for name, count in rows.items())
    st.caption(f"Measured on validation rows ({counts}); test rows are for the final figure.")


def kept_file(run: runs.Run, heads: list[Head]) -> Path:
    """Where the delta without these heads is stored."""
    names = ",".join(map(head_name, heads))
    digest = hashlib.blake2b(names.encode(), digest_size=4).hexdigest()
    return run.file(f"delta-undone-{digest}.safetensors")
