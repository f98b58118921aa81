"""One HTML page that needs no other file: sections of text, tables, figures and commands.

Plotly's program is embedded once, every text is escaped, headings come in order, figures have their
description; light or dark as the reader's browser is set, dark on white on paper.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field

import plotly.graph_objects as go

from ctsft.plots.chart_figures import chart_nodes
from ctsft.plots.figure_files import document, figure_html
from ctsft.plots.style import alt
from ctsft.utils.figures import AnyFigure, attribute, current_ledger, unmarked_text


@dataclass(frozen=True)
class Table:
    """Cells are text; numbers stand at the right. `caption`: the subject of the table. settings:
    whether its numbers are settings, not results.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    settings: bool = False


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: list[str]


@dataclass(frozen=True)
class Settings:
    """A paragraph whose numbers are settings."""

    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing, and the figures (`ctsft.utils.figures`) that it shows."""

    drawing: go.Figure
    figures: list[AnyFigure]


Block = str | Table | Code | Items | Settings | Chart | go.Figure


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Block] = field(default_factory=list)


def report(title: str, lead: str, sections: Iterable[Section]) -> str:
    """The page: title, the first section, links to all sections, the others. Texts may contain
    anything; they are shown as they are.
    """
    sections = list(sections)
    body = [
        f'<header><h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p></header>',
    ]
    is_first = True
    for number, section in enumerate(sections, 1):
        body.append(f'<section id="part-{number}"><h2>{html.escape(section.title)}</h2>')
        for block in section.blocks:
            if isinstance(block, go.Figure | Chart):
                body.append(chart_html(block, is_first))
                is_first = False
            else:
                body.append(block_html(block))
        body.append("</section>")
        if number == 1:
            body.append(contents(sections))
    return document(title, f"<main>{''.join(body)}</main>", ["report.css"])


def contents(sections: list[Section]) -> str:
    """Links to the sections."""
    links = "".join(
        f'<li><a href="#part-{number}">{html.escape(section.title)}</a></li>'
        for number, section in enumerate(sections, 1)
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def chart_html(block: go.Figure | Chart, is_first: bool) -> str:
    """In a ledger every chart has its place there, in order."""
    drawing = block.drawing if isinstance(block, Chart) else block
    figures = block.figures if isinstance(block, Chart) else []
    if book := current_ledger():
        book.charts.append(chart_nodes(drawing, figures, book))
    return figure_html(drawing, is_first, attribute(alt(drawing), figures))


def block_html(block: str | Table | Code | Items | Settings) -> str:
    if isinstance(block, Table):
        return table_html(block)
    if isinstance(block, Code):
        return f'<pre tabindex="0"><code>{html.escape(block.text)}</code></pre>'
    if isinstance(block, Items):
        return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Settings):
        return f"<p data-settings>{html.escape(block.text)}</p>"
    return f"<p>{html.escape(block)}</p>"


def table_html(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.header)
    rows = "".join(f"<tr>{''.join(map(cell_html, row))}</tr>" for row in table.rows)
    label = html.escape(unmarked_text(table.caption), quote=True)
    kind = " data-settings" if table.settings else ""
    return (
        f'<div class="wide"{kind} tabindex="0" role="region" aria-label="{label}"><table>'
        f"<caption>{html.escape(table.caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def cell_html(text: str) -> str:
    """Numbers stand at the right."""
    shown = unmarked_text(text)
    is_number = shown[:1] in tuple("+-−.0123456789") and not any(map(str.isalpha, shown))
    attribute = ' class="number"' if is_number else ""
    return f"<td{attribute}>{html.escape(text)}</td>"
