"""How results show themselves in a notebook: a short table and, with plotly, a map."""

import html
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module


def table_html(title: str, header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A title and a table; every text is escaped."""
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f"<p>{html.escape(title)}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def figure_html(draw: Callable) -> str:
    """The figure that `draw(plots)` returns, where `plots` imports a module of `ctsft.plots` by its
    name; "" where plotly is not installed. plotly.js itself is loaded by the browser.

    The charts are imported by name when they are needed, since they stand above the objects that
    they draw.
    """
    try:
        figure = draw(lambda name: import_module(f"ctsft.plots.{name}"))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "plotly":
            raise
        return ""
    return figure.to_html(full_html=False, include_plotlyjs="cdn")
