"""One HTML page that needs no other file: sections of text, tables, figures and commands.

Plotly's program is embedded once, every text is escaped, headings come in order, figures have their
description; light or dark as the reader's browser is set, dark on white on paper.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field

import plotly.graph_objects as go

from ctsft.plots.figure_files import document, figure_html


@dataclass(frozen=True)
class Table:
    """Cells are text; numbers stand at the right. `caption`: the subject of the table."""

    caption: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: list[str]


Block = str | Table | Code | Items | go.Figure


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
            if isinstance(block, go.Figure):
                body.append(figure_html(block, is_first))
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


def block_html(block: str | Table | Code | Items) -> str:
    if isinstance(block, Table):
        return table_html(block)
    if isinstance(block, Code):
        return f'<pre tabindex="0"><code>{html.escape(block.text)}</code></pre>'
    if isinstance(block, Items):
        return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in block.items)}</ul>"
    return f"<p>{html.escape(block)}</p>"


def table_html(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.header)
    rows = "".join(f"<tr>{''.join(map(cell_html, row))}</tr>" for row in table.rows)
    label = html.escape(table.caption, quote=True)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<caption>{html.escape(table.caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def cell_html(text: str) -> str:
    """Numbers stand at the right."""
    is_number = text[:1] in tuple("+-−.0123456789") and not any(map(str.isalpha, text))
    attribute = ' class="number"' if is_number else ""
    return f"<td{attribute}>{html.escape(text)}</td>"
