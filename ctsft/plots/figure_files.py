"""A figure as a file: its data as CSV, itself as one HTML page that needs no network. No streamlit;
the browser makes PNG and SVG (`export`).
"""

import csv
import html
import io
import re
from collections.abc import Mapping

import plotly.graph_objects as go

from ctsft.plots.style import alt

ENDS = ("x low", "x high", "y low", "y high")
INK = {"light": "#23252b", "dark": "#e9e9ee"}

STYLE = f"""
:root {{ color-scheme: light dark; --ink: {INK["light"]}; --page: #ffffff; --soft: #5c6370; --line: #d9dbe0; --shade: #f5f5f7; --link: #6a3fa0; }}
@media screen and (prefers-color-scheme: dark) {{
  :root {{ --ink: {INK["dark"]}; --page: #14161c; --soft: #a9aebb; --line: #3a3e49; --shade: #1e2129; --link: #c3a5e6; }}
}}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto; padding: 0 1.25rem; max-width: 70rem; }}
figure {{ margin: 1.25rem 0; overflow-x: auto; break-inside: avoid; }}
figcaption {{ color: var(--soft); font-size: 0.9rem; }}
.js-plotly-plot .main-svg > g:not(.hoverlayer) text {{ fill: var(--ink) !important; }}
"""


def csv_of(fig: go.Figure) -> str:
    """A row a point: the series it belongs to, where it lies, its value (maps), the ends of its
    interval and what its hover says.
    """
    names = dict.fromkeys(("x", "y"))
    for axis in names:
        title = plain(
            (fig.layout[f"{axis}axis"].title.text or "") if f"{axis}axis" in fig.layout else ""
        )
        names[axis] = title or axis
    across, down = names["x"], names["y"] if names["y"] != names["x"] else "y"
    rows = [one for trace in fig.data if drawn(trace) for one in points(trace, fig)]
    columns = [
        "series",
        across,
        down,
        *(name for name in ("value", *ENDS, "note") if any(name in row for row in rows)),
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {{"x": across, "y": down}.get(name, name): harmless(value) for name, value in row.items()}
        for row in rows
    )
    return out.getvalue()


def drawn(trace) -> bool:
    """Not the strokes on a map, the transparent squares that take its clicks, or a legend's empty
    key.
    """
    strokes, unseen = (
        trace.meta in ("halo", "ink"),
        trace.type == "scatter" and trace.marker.opacity == 0,
    )
    return (
        not strokes
        and not unseen
        and (trace.type == "heatmap" or any(x is not None for x in listed(trace.x)))
    )


def points(trace, fig: go.Figure) -> list[dict]:
    series = plain(trace.name or trace.legendgroup or "")
    if trace.type == "heatmap":
        notes = {
            (x, y): text
            for other in fig.data
            if other.type == "scatter" and other.marker.opacity == 0
            for x, y, text in zip(
                listed(other.x), listed(other.y), listed(other.text), strict=False
            )
        }
        table = [listed(row) for row in listed(trace.z)]
        xs, ys = (
            listed(trace.x) or range(len(table[0]) if table else 0),
            listed(trace.y) or range(len(table)),
        )
        return [
            {"series": series, "x": x, "y": y, "value": value, **said(notes.get((x, y)))}
            for y, row in zip(ys, table, strict=True)
            for x, value in zip(xs, row, strict=True)
        ]
    xs, ys, texts = listed(trace.x), listed(trace.y), listed(trace.text)
    rows = []
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if x is None or y is None:
            continue
        row = {"series": series, "x": x, "y": y}
        for axis, value in (("x", x), ("y", y)):
            bar = trace[f"error_{axis}"]
            above, below = listed(bar.array), listed(bar.arrayminus) or listed(bar.array)
            if above:
                row |= {f"{axis} low": value - below[i], f"{axis} high": value + above[i]}
        rows.append(row | said(texts[i] if i < len(texts) else None))
    return rows


def said(text) -> dict:
    return {"note": plain(text)} if text else {}


def listed(values) -> list:
    """What Plotly keeps as tuple, array or nothing; one text for all points is no list of texts."""
    return (
        []
        if values is None or isinstance(values, str)
        else values.tolist()
        if hasattr(values, "tolist")
        else list(values)
    )


def plain(words) -> str:
    """A hover's or an axis title's text without its markup."""
    text = re.sub(r"<br\s*/?>", "; ", str(words))
    return html.unescape(re.sub(r"<[^<>]*>", "", text)).replace("●", "").strip()


def harmless(value):
    """A text that a spreadsheet would take for a formula, as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def page_of(figures: Mapping[str, go.Figure], title: str) -> str:
    """The figures on one HTML page, each under its name (which may be empty), with what it shows in
    words.
    """
    parts = []
    for i, (name, fig) in enumerate(figures.items()):
        heading = f"<h2>{html.escape(name)}</h2>" if name else ""
        parts.append(heading + figure_html(fig, first=i == 0))
    return document(title, f"<main><h1>{html.escape(title)}</h1>{''.join(parts)}</main>")


def figure_html(fig: go.Figure, first: bool) -> str:
    """The figure as HTML with its description; the first one of a page brings the program that
    draws them all.
    """
    drawing = fig.to_html(
        full_html=False,
        include_plotlyjs=first,
        config={"displaylogo": False, "responsive": fig.layout.width is None},
    )
    words = html.escape(alt(fig), quote=True)
    return (
        '<figure><div role="img"'
        f' aria-label="{words}">{drawing}</div><figcaption>{words}</figcaption></figure>'
    )


def document(title: str, body: str, style: str = "") -> str:
    head = (
        '<meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width"><title>{html.escape(title)}</title>'
    )
    return (
        "<!doctype html><html"
        f' lang="en"><head>{head}<style>{STYLE}{style}</style></head><body>{body}</body></html>'
    )
