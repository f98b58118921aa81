"""Which figures (`ctsft.utils.figures`) the points of a chart show, so that each can be computed
again from a file that holds the chart.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import plotly.graph_objects as go

from ctsft.utils.figures import AnyFigure, Ledger

ARRAYS = ("x", "y", "z", "error_x.array", "error_x.arrayminus", "error_y.array")
ARRAYS += ("error_y.arrayminus",)
DIGITS = 9  # in which a value of a chart and a figure agree


def chart_nodes(fig: go.Figure, figures: Iterable[AnyFigure], book: Ledger) -> list[list]:
    """[trace, array, the number of the figure at each place or None] of every array of a chart that
    shows one of the figures.
    """
    by_value: dict[float, AnyFigure] = {}
    for figure in figures:
        by_value.setdefault(round(float(figure), DIGITS), figure)
    entries = []
    for place, trace in enumerate(fig.data):
        for name in ARRAYS:
            shown = [by_value.get(value) for value in rounded(trace_values(trace, name))]
            if any(figure is not None for figure in shown):
                nodes = [None if figure is None else book.number(figure) for figure in shown]
                entries.append([place, name, nodes])
    return entries


def trace_values(trace: Mapping, name: str) -> list:
    """The values of an array of a trace, rows one after another; [] where there is none. Takes
    traces of a drawing and those of its JSON.
    """
    value: object = trace
    for part in name.split("."):
        try:
            value = value[part]
        except (KeyError, TypeError, ValueError):
            return []
    return list(flat(value))


def flat(value: object) -> Iterator[object]:
    if isinstance(value, Mapping) and "bdata" in value:  # how Plotly writes arrays as JSON
        data = base64.b64decode(value["bdata"])
        yield from np.frombuffer(data, dtype=np.dtype(value["dtype"]).newbyteorder("<")).tolist()
    elif isinstance(value, np.ndarray | list | tuple):
        for one in value:
            yield from flat(one)
    elif value is not None and not isinstance(value, Mapping):
        yield value


def rounded(values: Iterable[object]) -> Iterator[float | None]:
    for value in values:
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        yield round(float(value), DIGITS) if is_number else None
