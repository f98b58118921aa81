"""The figures of an HTML report, each against the run folders that it rests on."""

from collections.abc import Iterator
from pathlib import Path

from ctsft.plots.chart_figures import trace_values
from ctsft.receipts.claims import TOLERANCE, Claim, Value
from ctsft.receipts.derivations import Derivations
from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.of_runs import receipt_of
from ctsft.receipts.receipt import Receipt
from ctsft.receipts.report_file import Block, Page, Shown, digest, read_block, read_page, traces_of
from ctsft.utils.errors import UserError, cut
from ctsft.utils.figures import DECIMAL, shows
from ctsft.utils.json_files import read_regular, reason_of


def report_claims(path: Path, evidence: Evidence) -> list[Claim]:
    """UserError for a file that is no report with receipts."""
    try:
        text = read_regular(path).decode("utf-8")
    except (OSError, ValueError) as error:
        raise UserError(
            f"The report {cut(path, 200)} cannot be read ({reason_of(error)}); choose an HTML"
            " report that Compare wrote."
        ) from None
    page = read_page(text)
    block = read_block(page, cut(path.name, 100))
    derived = Derivations(block.nodes(), evidence)
    return [
        *text_claims(page, block),
        *receipt_claims(block, evidence),
        *(shown_claim(shown, derived) for shown in page.figures),
        *chart_claims(page, block, derived),
    ]


def text_claims(page: Page, block: Block) -> Iterator[Claim]:
    """That nothing but figures could have been changed."""
    yield Claim("the report's other text", digest(page.text), lambda: block.text, True)
    drawings = [digest(drawing) for drawing in page.drawings]
    yield Claim("the report's drawings", drawings, lambda: block.drawings, True)
    for number in DECIMAL.findall(page.results):
        yield Claim("a number without a receipt", number, lambda: "a receipt", True)
    if not page.figures:
        yield Claim("figures with receipts", 0, lambda: "at least one", True)


def receipt_claims(block: Block, evidence: Evidence) -> Iterator[Claim]:
    """What the receipts say of each run, against its folder."""
    for run_id, stored in block.runs.items():
        for name, value in stored.model_dump().items():
            yield Claim(
                f"receipt of {run_id}: {name}",
                value,
                lambda run_id=run_id, name=name: fresh(evidence, run_id).model_dump()[name],
                structural=True,
            )


def fresh(evidence: Evidence, run_id: str) -> Receipt:
    receipt = receipt_of(evidence.run(run_id).run)
    if receipt is None:
        raise NotRecomputable(f"the request of run {run_id} cannot be read")
    return receipt


def shown_claim(shown: Shown, derived: Derivations) -> Claim:
    """A figure in the text: its digits and its full value."""

    def equal(text: Value, value: Value) -> bool:
        return shows(str(text), value) and agrees(shown.value, value)

    def recompute() -> float:
        if not shown.number.isdigit() or int(shown.number) >= len(derived.nodes):
            raise ValueError(f"it names no figure ({shown.number})")
        return derived.value(int(shown.number))

    return Claim(f"“…{' '.join(shown.near.split())[-40:]}”", shown.text, recompute, equal=equal)


def agrees(written: str, value: float) -> bool:
    try:
        stored = float(written)
    except ValueError:
        return False
    return abs(stored - value) <= TOLERANCE or (stored != stored and value != value)


def chart_claims(page: Page, block: Block, derived: Derivations) -> Iterator[Claim]:
    """The points of the charts."""
    yield Claim("number of charts", len(page.drawings), lambda: len(block.charts), True)
    for number, (drawing, arrays) in enumerate(zip(page.drawings, block.charts, strict=False), 1):
        try:
            traces = traces_of(drawing)
        except ValueError as error:
            yield Claim(f"chart {number}", cut(error), lambda: "a chart", True)
            continue
        for trace, name, nodes in arrays:
            values = trace_values(traces[trace], name) if trace < len(traces) else []
            where = f"chart {number}, series {trace + 1}, {name}"
            yield Claim(f"{where}: points", len(values), lambda nodes=nodes: len(nodes), True)
            for i, (value, node) in enumerate(zip(values, nodes, strict=False), 1):
                if node is not None:
                    yield Claim(f"{where}, point {i}", value, lambda node=node: derived.value(node))
