"""Where the panels of a figure of curves stand, with their axes and titles."""

from dataclasses import dataclass

import plotly.graph_objects as go

from ctsft.plots.style import COLOURS

COLUMNS = 2
ROW_HEIGHT, LOSS_HEIGHT = 360, 150  # pixels
NAME_ROOM = 0.34  # of a panel's width, for the names at the ends of its lines
NARROW_ROOM = 150  # pixels, where only the last panel has names
GAP = 0.07  # of the width, between panels
ABOVE, BELOW = 36, 48  # pixels around a row of panels


@dataclass(frozen=True)
class Place:
    """Where a panel stands: the number of its axes, and its ends in shares of the figure."""

    number: int
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def suffix(self) -> str:
        return "" if self.number == 1 else str(self.number)

    @property
    def axes(self) -> dict[str, str]:
        return {"xaxis": f"x{self.suffix}", "yaxis": f"y{self.suffix}"}


def place_of(number: int, height: float, narrow: bool) -> Place:
    row, column = divmod(number - 1, COLUMNS)
    width = (1 - GAP) / COLUMNS if narrow else 1 / COLUMNS
    left = column * (width + GAP) if narrow else column * width
    end = left + (width if narrow else width * (1 - NAME_ROOM))
    top = 1 - (row * ROW_HEIGHT + ABOVE) / height
    bottom = 1 - ((row + 1) * ROW_HEIGHT - BELOW) / height
    return Place(number, (left, end), (bottom, top))


def mark(panel: str) -> str:
    colour = COLOURS[panel if panel in ("source", "target") else "related"]
    return f'<span style="color:{colour}">●</span>'


def add_panel(fig: go.Figure, place: Place, title: str, total_steps: int) -> None:
    look = {"gridcolor": COLOURS["grid"], "zeroline": False, "showline": False}
    x = {"domain": place.x, "anchor": f"y{place.suffix}", "range": [0, total_steps], **look}
    y = {"domain": place.y, "anchor": f"x{place.suffix}", **look}
    x["title"] = {"text": "optimiser steps"}
    fig.update_layout({f"xaxis{place.suffix}": x, f"yaxis{place.suffix}": y})
    fig.add_annotation(
        x=place.x[0],
        y=place.y[1],
        xref="paper",
        yref="paper",
        text=title,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        yshift=8,
    )
