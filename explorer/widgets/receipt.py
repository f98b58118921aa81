"""Receipts on a page: everything inside of `covered` rests on the same runs, which a small mark at
its upper right tells on hover, and on a click in full. Nothing here imports torch.
"""

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from ctsft.receipts.receipt import MOST_RUNS, Receipt, text_of

MOST_TITLE = 1500  # characters of the hover
MOST_NAMED = 100  # further runs


@contextmanager
def covered(
    name: str, receipts: Sequence[Receipt], interval: str = "", others: Sequence[str] = ()
) -> Iterator[None]:
    """A container for results. name: unique on the page; interval: of these figures, where it is
    another than that of the receipts; others: ids of further runs that they rest on.
    """
    key = re.sub(r"[^a-zA-Z0-9_-]", "-", name)
    with st.container(key=f"receipt-{key}"):
        if receipts:
            st.html(mark(receipts, interval, others))
        yield


def mark(receipts: Sequence[Receipt], interval: str = "", others: Sequence[str] = ()) -> str:
    """The mark as HTML; everything in it is escaped."""
    further = [one.run for one in receipts[MOST_RUNS:]] + list(others)
    title = text_of(receipts[:MOST_RUNS], interval)[:MOST_TITLE]
    more = ""
    if further:
        names = ", ".join(further[:MOST_NAMED]) + (" ..." if len(further) > MOST_NAMED else "")
        more = f"<p>and {len(further)} more runs: {html.escape(names)}</p>"
        title += f" | and {len(further)} more runs"
    cards = "".join(card(one, interval) for one in receipts[:MOST_RUNS])
    return (
        f'<details class="receipt"><summary aria-label="Receipt" title="{html.escape(title)}">'
        f'</summary><div class="receipt-card"><strong>Receipt</strong>{cards}{more}</div></details>'
    )


def card(receipt: Receipt, interval: str) -> str:
    lines = dict(receipt.lines()) | ({"interval": interval} if interval else {})
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in lines.items()
    )
    return f"<dl>{rows}</dl>"
