"""An HTML report with receipts: how they are written into it, and how they are read.

Every figure that the report shows stands in an element of its own, and a block of JSON says how
each is derived and from which runs:

    <data value="0.385" data-figure="12" title="command: ...">0.385</data>
    <script type="application/json" id="receipts">{"format": 1, "figures": [...], ...}</script>

`figures` are operations and arguments, where [3] means the figure number 3; `runs` are the receipts
of the runs; `charts` say which figure each point of each chart shows; `text` and `drawings` are
hashes of everything else, so that a changed word or setting is found too.
"""

import hashlib
import html
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from pydantic import BaseModel, ConfigDict, Field

from ctsft.receipts.derivations import Derivations
from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.of_runs import receipt_of
from ctsft.receipts.receipt import Receipt, text_of
from ctsft.utils.errors import UserError
from ctsft.utils.figures import Ledger, Node
from ctsft.utils.json_files import parse_json, problem

ID = "receipts"
MOST_FIGURES = 500_000
PLOT = re.compile(r"Plotly\.newPlot\(\s*")


class Block(BaseModel):
    """The content of a report's block of receipts."""

    model_config = ConfigDict(extra="forbid")
    format: int = Field(1, ge=1, le=1)
    figures: list[tuple[str, list[str | int | list[int]], float | None]] = Field(
        max_length=MOST_FIGURES
    )
    runs: dict[str, Receipt]
    charts: list[list[tuple[int, str, list[int | None]]]]
    text: str = ""  # hashes of the report's other text, and of its drawings
    drawings: list[str] = []

    def nodes(self) -> list[Node]:
        return [
            Node(
                operation,
                tuple(("node", one[0]) if isinstance(one, list) else one for one in given),
                float("nan") if value is None else value,
            )
            for operation, given, value in self.figures
        ]


def with_receipts(page: str, book: Ledger, evidence: Evidence) -> str:
    """A report's page whose text has marks of a ledger, with a receipt at each of them."""
    derived = Derivations(book.nodes, evidence)
    receipts = receipts_of(derived)
    titles: dict[int, str] = {}
    parts = []
    for text, number in book.pieces(page):
        if number is None:
            parts.append(text)
            continue
        if number not in titles:
            of = [receipts[run] for run in derived.runs(number) if run in receipts]
            titles[number] = text_of(of, derived.interval(number))
        title = html.escape(titles[number], quote=True)
        value = f"{book.nodes[number].value!r}"
        parts.append(f'<data value="{value}" data-figure="{number}" title="{title}">{text}</data>')
    marked = "".join(parts)
    read = read_page(marked)
    block = {
        "format": 1,
        "figures": [
            [
                node.operation,
                [[one[1]] if isinstance(one, tuple) else one for one in node.arguments],
                node.value if node.value == node.value else None,
            ]
            for node in book.nodes
        ],
        "runs": {run: receipt.model_dump() for run, receipt in receipts.items()},
        "charts": book.charts,
        "text": digest(read.text),
        "drawings": [digest(drawing) for drawing in read.drawings],
    }
    written = json.dumps(block, ensure_ascii=True).replace("<", "\\u003c")
    script = f'<script type="application/json" id="{ID}">{written}</script>'
    head, _, tail = marked.rpartition("</body>")
    return f"{head}{script}</body>{tail}"


def receipts_of(derived: Derivations) -> dict[str, Receipt]:
    """The receipts of all runs that the figures rest on."""
    receipts: dict[str, Receipt] = {}
    for number in range(len(derived.nodes)):
        for run_id in derived.runs(number):
            if run_id in receipts:
                continue
            try:
                receipt = receipt_of(derived.evidence.run(run_id).run)
            except NotRecomputable:
                continue
            if receipt:
                receipts[run_id] = receipt
    return receipts


def digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


@dataclass
class Shown:
    """A figure as the page shows it."""

    number: str
    value: str
    text: str
    title: str
    near: str  # the text before it


@dataclass
class Page:
    """What a report's page holds. text: everything but the figures; results: the same without
    settings and commands; drawings: the arguments of each chart.
    """

    figures: list[Shown] = field(default_factory=list)
    text: str = ""
    results: str = ""
    drawings: list[str] = field(default_factory=list)
    block: str = ""


class Reader(HTMLParser):
    """Reads a report's page."""

    APART = ("td", "th", "tr", "p", "li", "caption", "figcaption")
    SETTINGS = ("pre", "nav", "header", "style", "title", "h2")

    def __init__(self):
        super().__init__()
        self.page = Page()
        self._texts: list[str] = []
        self._results: list[str] = []
        self._script = ""
        self._figure: Shown | None = None
        self._aside: list[str] = []  # elements of settings that are open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        of = {name: value or "" for name, value in attrs}
        if tag == "script":
            self._script = "block" if of.get("id") == ID else "program"
        elif tag == "data" and "data-figure" in of:
            near = "".join(self._texts)[-60:]
            figure = of["data-figure"], of.get("value", ""), "", of.get("title", ""), near
            self._figure = Shown(*figure)
            self._texts.append("\u25a1")
        elif "data-settings" in of or tag in self.SETTINGS or (self._aside and tag in self._aside):
            self._aside.append(tag)

    def handle_endtag(self, tag: str):
        if tag == "script":
            self._script = ""
        elif tag == "data" and self._figure is not None:
            self.page.figures.append(self._figure)
            self._figure = None
        elif self._aside and tag == self._aside[-1]:
            self._aside.pop()
        if tag in self.APART:  # numbers of two cells are two numbers
            self._texts.append("\n")
            self._results.append("\n")

    def handle_data(self, text: str):
        if self._script == "block":
            self.page.block += text
        elif self._script:
            if match := PLOT.search(text):
                self.page.drawings.append(text[match.end() :])
        elif self._figure is not None:
            self._figure.text += text
        else:
            self._texts.append(text)
            if not self._aside:
                self._results.append(text)

    def read(self, text: str) -> Page:
        self.feed(text)
        self.close()
        self.page.text, self.page.results = "".join(self._texts), "".join(self._results)
        return self.page


def read_page(text: str) -> Page:
    return Reader().read(text)


def read_block(page: Page, name: str) -> Block:
    """The receipts of a report's page. UserError where there are none, or they are damaged."""
    if not page.block:
        raise UserError(
            f"{name} holds no receipts; choose a report that Compare wrote (Report, HTML), a"
            " bundle, a run or a folder of documents."
        )
    try:
        return Block.model_validate(parse_json(page.block))
    except ValueError as error:
        why = problem(error) if hasattr(error, "errors") else str(error)
        raise UserError(
            f"The receipts of {name} cannot be read ({why}); write the report again."
        ) from None


def traces_of(drawing: str) -> list[dict]:
    """The traces of a chart, from the arguments of `Plotly.newPlot`. ValueError for others."""
    decoder = json.JSONDecoder()
    _, end = decoder.raw_decode(drawing)  # the element's id
    rest = drawing[end:].lstrip().removeprefix(",").lstrip()
    traces, _ = decoder.raw_decode(rest)
    if not isinstance(traces, list) or not all(isinstance(one, dict) for one in traces):
        raise ValueError("the chart has no traces")
    return traces
