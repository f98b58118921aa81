"""Receipts of what a page shows of runs."""

from contextlib import AbstractContextManager

from ctsft import runs
from ctsft.receipts.receipt import MOST_RUNS
from explorer.session import receipts
from explorer.widgets.receipt import covered


def covered_by(
    name: str, *measured: runs.Run | str | None, interval: str = ""
) -> AbstractContextManager:
    """A container for figures that rest on these runs, or runs of these ids. name, interval: as of
    `receipt.covered`.
    """
    known = {one if isinstance(one, str) else one.id: one for one in measured if one}
    ids = list(known)
    shown = [receipt for one in ids[:MOST_RUNS] if (receipt := receipts.of_run(known[one]))]
    return covered(name, shown, interval, others=ids[MOST_RUNS:])
