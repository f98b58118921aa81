"""Receipts of what a page shows of runs."""

from contextlib import AbstractContextManager

from ctsft import runs
from ctsft.receipts.of_runs import receipt_of
from ctsft.receipts.receipt import MOST_RUNS, Receipt
from ctsft.utils.errors import UserError
from explorer.widgets.receipt import covered


def covered_by(name: str, *found: runs.Run | str | None) -> AbstractContextManager:
    """A container for figures that rest on these runs, or runs of these ids."""
    known = list(dict.fromkeys(one if isinstance(one, str) else one.id for one in found if one))
    receipts = [receipt for one in known[:MOST_RUNS] if (receipt := receipt_or_none(one))]
    return covered(name, receipts, others=known[MOST_RUNS:])


def receipt_or_none(run_id: str) -> Receipt | None:
    """None for a run that was deleted meanwhile."""
    try:
        return receipt_of(runs.get(run_id))
    except UserError:
        return None
