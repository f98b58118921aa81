"""One HTML page that needs nothing beside itself: sections of text, tables, figures and commands,
typeset. What stands in them: `exploration`.

Plotly's program is embedded once, every text is escaped, headings come in order, figures carry
their description; light or dark as the reader's browser is set, dark on white on paper. No
streamlit.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field

import plotly.graph_objects as go

from ctsft.plots.figure_files import document, figure_html


@dataclass(frozen=True)
class Table:
    """Cells are text; numbers stand at the right. `caption` says what it is a table of."""

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


STYLE = """
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 0.5rem; } h2 { font-size: 1.4rem; margin: 2.5rem 0 0.5rem; break-after: avoid; }
p, li { max-width: 46rem; } a { color: var(--link); } .lead { font-size: 1.1rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; }
.wide { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; font-size: 0.9rem; min-width: 26rem; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.25rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } tr { break-inside: avoid; }
pre { background: var(--shade); padding: 0.75rem 1rem; font-size: 0.85rem; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 0.4rem; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } nav, .modebar { display: none; } pre { border: 1px solid var(--line); } }
"""


def report(title: str, lead: str, sections: Iterable[Section]) -> str:
    """The page. Texts may hold anything; they are shown as they are."""
    sections, drawn = list(sections), 0
    body = [
        f'<header><h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p></header>',
        contents(sections),
    ]
    for number, section in enumerate(sections, 1):
        body.append(f'<section id="part-{number}"><h2>{html.escape(section.title)}</h2>')
        for block in section.blocks:
            body.append(
                figure_html(block, first=drawn == 0)
                if isinstance(block, go.Figure)
                else typeset(block)
            )
            drawn += isinstance(block, go.Figure)
        body.append("</section>")
    return document(title, f"<main>{''.join(body)}</main>", STYLE)


def contents(sections: list[Section]) -> str:
    links = "".join(
        f'<li><a href="#part-{number}">{html.escape(section.title)}</a></li>'
        for number, section in enumerate(sections, 1)
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def typeset(block: str | Table | Code | Items) -> str:
    if isinstance(block, Table):
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in block.header)
        rows = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in block.rows)
        return (
            '<div class="wide" tabindex="0" role="region"'
            f' aria-label="{html.escape(block.caption, quote=True)}"><table>'
            f"<caption>{html.escape(block.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    if isinstance(block, Code):
        return f'<pre tabindex="0"><code>{html.escape(block.text)}</code></pre>'
    if isinstance(block, Items):
        return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in block.items)}</ul>"
    return f"<p>{html.escape(block)}</p>"


def cell(text: str) -> str:
    kind = (
        ' class="number"'
        if text and text[0] in "+-−.0123456789" and not any(sign.isalpha() for sign in text)
        else ""
    )
    return f"<td{kind}>{html.escape(text)}</td>"
