"""A figure as a file: its data as CSV, or itself as one HTML page that needs no network. (PNG and
SVG are made in the browser.)
"""

import html
import re
from collections.abc import Iterable, Mapping
from importlib import resources

import plotly.graph_objects as go

from ctsft.plots.style import alt
from ctsft.utils.csv_text import csv_text

INTERVAL_ENDS = ("x low", "x high", "y low", "y high")


def template(name: str) -> str:
    """The text of a file in ctsft/plots/templates."""
    return resources.files("ctsft.plots").joinpath("templates", name).read_text(encoding="utf-8")


def figure_csv(fig: go.Figure) -> str:
    """A row a point: its series, x and y, its value (maps), the ends of its interval and its hover
    text.
    """
    across, down = axis_name(fig, "x"), axis_name(fig, "y")
    if down == across:
        down = "y"
    rows = [point for trace in fig.data if has_data(trace) for point in points(trace, fig)]
    optional = [
        name for name in ("value", *INTERVAL_ENDS, "note") if any(name in row for row in rows)
    ]
    headers = {"x": across, "y": down}
    renamed = [{headers.get(name, name): value for name, value in row.items()} for row in rows]
    return csv_text(["series", across, down, *optional], renamed)


def axis_name(fig: go.Figure, axis: str) -> str:
    """An axis' title, or "x" or "y" where it has none."""
    layout = f"{axis}axis"
    title = fig.layout[layout].title.text if layout in fig.layout else ""
    return plain_text(title or "") or axis


def has_data(trace) -> bool:
    """False for the strokes on a map, the transparent squares that take its clicks, and a legend's
    empty key.
    """
    is_stroke = trace.meta in ("halo", "ink")
    is_invisible = trace.type == "scatter" and trace.marker.opacity == 0
    if is_stroke or is_invisible:
        return False
    return trace.type == "heatmap" or any(x is not None for x in as_list(trace.x))


def points(trace, fig: go.Figure) -> list[dict]:
    """The rows of a trace: {"series", "x", "y", and what else it has}."""
    series = plain_text(trace.name or trace.legendgroup or "")
    if trace.type == "heatmap":
        return cell_points(trace, series, cell_notes(fig))
    xs, ys, texts = as_list(trace.x), as_list(trace.y), as_list(trace.text)
    rows = []
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if x is None or y is None:
            continue
        row = {"series": series, "x": x, "y": y}
        for axis, value in (("x", x), ("y", y)):
            bar = trace[f"error_{axis}"]
            above, below = as_list(bar.array), as_list(bar.arrayminus) or as_list(bar.array)
            if above:
                row |= {f"{axis} low": value - below[i], f"{axis} high": value + above[i]}
        rows.append(row | note(texts[i] if i < len(texts) else None))
    return rows


def cell_notes(fig: go.Figure) -> dict[tuple, str]:
    """{(x, y): hover text} of the transparent squares on a map."""
    return {
        (x, y): text
        for trace in fig.data
        if trace.type == "scatter" and trace.marker.opacity == 0
        for x, y, text in zip(as_list(trace.x), as_list(trace.y), as_list(trace.text), strict=False)
    }


def cell_points(trace, series: str, notes: Mapping[tuple, str]) -> list[dict]:
    """A row a cell of a heatmap."""
    cells = [as_list(row) for row in as_list(trace.z)]
    xs = as_list(trace.x) or range(len(cells[0]) if cells else 0)
    ys = as_list(trace.y) or range(len(cells))
    return [
        {"series": series, "x": x, "y": y, "value": value, **note(notes.get((x, y)))}
        for y, row in zip(ys, cells, strict=True)
        for x, value in zip(xs, row, strict=True)
    ]


def note(text: str | None) -> dict:
    return {"note": plain_text(text)} if text else {}


def as_list(values) -> list:
    """What Plotly stores as a tuple, an array or nothing; one text for all points is not a list of
    texts.
    """
    if values is None or isinstance(values, str):
        return []
    return values.tolist() if hasattr(values, "tolist") else list(values)


def plain_text(markup) -> str:
    """A hover's or an axis title's text without its markup."""
    text = re.sub(r"<br\s*/?>", "; ", str(markup))
    return html.unescape(re.sub(r"<[^<>]*>", "", text)).replace("●", "").strip()


def figures_page(figures: Mapping[str, go.Figure], title: str) -> str:
    """The figures on one HTML page, each under its name (which may be empty), with its description
    in words.
    """
    parts = []
    for i, (name, fig) in enumerate(figures.items()):
        heading = f"<h2>{html.escape(name)}</h2>" if name else ""
        parts.append(heading + figure_html(fig, is_first=i == 0))
    return document(title, f"<main><h1>{html.escape(title)}</h1>{''.join(parts)}</main>")


def figure_html(fig: go.Figure, is_first: bool, caption: str = "") -> str:
    """The figure as HTML with its description; the first one of a page brings the program that
    draws them all. caption: what stands below it; the description where there is none.
    """
    drawing = fig.to_html(
        full_html=False,
        include_plotlyjs=is_first,
        config={"displaylogo": False, "responsive": fig.layout.width is None},
    )
    description = html.escape(alt(fig), quote=True)
    return (
        f'<figure><div role="img" aria-label="{description}">{drawing}</div>'
        f"<figcaption>{html.escape(caption) or description}</figcaption></figure>"
    )


def document(title: str, body: str, styles: Iterable[str] = ()) -> str:
    """A whole HTML page; `styles`: files of templates/ besides page.css."""
    style = "".join(template(name) for name in ("page.css", *styles))
    page = template("page.html")
    for place, text in (("title", html.escape(title)), ("style", style), ("body", body)):
        page = page.replace(f"<!--{place}-->", text, 1)
    return page
