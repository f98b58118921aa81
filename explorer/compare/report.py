"""An exploration as one HTML page, written on request: the frontier and what it shows, what was
explored, how reliable it is, how to repeat it, and at the end the fingerprints of what was used.
"""

import time
from collections.abc import Mapping

from ctsft.plots import html_report
from ctsft.receipts.evidence import Evidence
from ctsft.receipts.report_file import with_receipts
from ctsft.utils.figures import ledger
from explorer.compare import filters, report_exploration, report_runs
from explorer.compare.report_content import Exploration, with_model_and_task
from explorer.compare.report_text import plain_name

SECTIONS = (
    report_runs.opening,
    report_exploration.subject,
    report_exploration.heads,
    report_exploration.circuit,
    report_exploration.faithfulness_curves,
    report_runs.tuning,
    report_runs.reliability,
    report_runs.commands,
    report_runs.notes,
    report_exploration.fingerprints,
)


def write(of: Exploration) -> str:
    of, first = with_model_and_task(of), of.rows[0]
    title = f"Circuit exploration: {short_name(first['model'])}, {short_name(first['task'])}"
    lead = (
        f"Which attention heads carry the task in {plain_name(first['source'])}, and what tuning"
        f" some of them on {target_names(of.rows)} did to both languages. Written"
        f" {time.strftime('%Y-%m-%d %H:%M')} from {len(of.rows)} tuning runs by the circuit"
        " explorer."
    )
    with ledger() as book:
        sections = [section(of) for section in SECTIONS]
        shown = [section for section in sections if section.blocks]
        page = html_report.report(title, lead, shown)
    return with_receipts(page, book, Evidence())


def target_names(rows: list[Mapping]) -> str:
    *others, last = [plain_name(target) for target in filters.distinct(rows, "target")]
    return f"{', '.join(others)} and {last}" if others else last


def short_name(path: str) -> str:
    return str(path).rstrip("/").split("/")[-1].removesuffix(".json")
