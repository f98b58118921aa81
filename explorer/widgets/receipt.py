"""Receipts on a page: everything inside of `covered` rests on the same runs, which a small mark at
its upper right tells on hover, and on a click in full; Escape or a click elsewhere closes the card
(`static/receipt.js`). Nothing here imports torch.
"""

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from ctsft.receipts.receipt import MOST_RUNS, Receipt

SCRIPT = Path(__file__).parents[1] / "static" / "receipt.js"
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
            st.html(mark(name, receipts, interval, others))
        yield


def close_cards():
    """Closes an open card on Escape or a click elsewhere. Call once in each run of the script."""
    component = st.components.v2.component(
        "receipt", html="<span></span>", js=SCRIPT.read_text("utf-8")
    )
    component(key="receipt")


def mark(
    name: str, receipts: Sequence[Receipt], interval: str = "", others: Sequence[str] = ()
) -> str:
    """The mark as HTML; everything in it is escaped."""
    further = [one.run for one in receipts[MOST_RUNS:]] + list(others)
    shown = [lines(one, interval) for one in receipts[:MOST_RUNS]]
    title = "\n\n".join("\n".join(f"{what}: {text}" for what, text in one) for one in shown)
    title = title[:MOST_TITLE]
    more = ""
    if further:
        names = ", ".join(further[:MOST_NAMED]) + (" ..." if len(further) > MOST_NAMED else "")
        more = f"<p>and {len(further)} more runs: {html.escape(names)}</p>"
        title += f"\n\nand {len(further)} more runs"
    cards = "".join(card(one) for one in shown)
    label = html.escape(f"Receipt: {name.replace('-', ' ')}")
    return (
        f'<details class="receipt"><summary aria-label="{label}" title="{html.escape(title)}">'
        f'</summary><div class="receipt-card" role="region" tabindex="0" aria-label="{label}">'
        f"<strong>Receipt</strong>{cards}{more}</div></details>"
    )


def lines(receipt: Receipt, interval: str) -> list[tuple[str, str]]:
    """(what, text), with the interval of these figures where it is named."""
    return [
        (what, interval if interval and what == "interval" else text)
        for what, text in receipt.lines()
    ]


def card(lines_of: list[tuple[str, str]]) -> str:
    rows = "".join(
        f"<dt>{html.escape(what)}</dt><dd>{html.escape(text)}</dd>" for what, text in lines_of
    )
    return f"<dl>{rows}</dl>"
