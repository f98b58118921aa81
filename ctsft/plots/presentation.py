"""Figures for a projector: large type, thick lines, as large as the place where they are shown."""

import plotly.graph_objects as go

FONT = 18  # pixels, at 800 pixels of height
SMALL = 15  # pixels, of colour bars
THICKER = 1.5  # times lines, marks and margins
PLACES = ("xshift", "yshift", "ax", "ay", "standoff", "arrowwidth")  # of a text beside its mark


def enlarged(fig: go.Figure, zoom: float = 1.0) -> go.Figure:
    """A copy with large type, times `zoom`, and without a size and a title of its own: the page
    that shows it names it. `fig` stays as it is.
    """
    large, by = go.Figure(fig), THICKER * zoom
    font = {"font_size": FONT * zoom}
    large.update_layout(
        width=None,
        height=None,
        autosize=True,
        title_text="",
        hoverlabel=font,
        legend=font,
        margin={side: scaled(fig.layout.margin[side], by) for side in ("l", "r", "t", "b")},
        **font,
    )
    axis = {"tickfont_size": FONT * zoom, "title_font_size": FONT * zoom}
    large.update_xaxes(axis).update_yaxes(axis)
    for note in large.layout.annotations:
        note.update({name: scaled(note[name], by) for name in PLACES}, **font)
    for shape in large.layout.shapes:
        shape.line.width = scaled(shape.line.width, by)
    for trace in large.data:
        enlarge_trace(trace, zoom)
    return large


def enlarge_trace(trace, zoom: float) -> None:
    by = THICKER * zoom
    if trace.type == "heatmap":
        small = {"tickfont_size": SMALL * zoom, "title_font_size": SMALL * zoom}
        trace.colorbar.update(thickness=16 * zoom, **small)
    elif trace.type == "scatter":
        trace.line.width = scaled(trace.line.width, by)
        if trace.name != "heads":  # the squares that carry the hover texts of a map
            trace.marker.size = scaled(trace.marker.size, by)
        for bar in (trace.error_x, trace.error_y):
            bar.update(thickness=scaled(bar.thickness, by), width=scaled(bar.width, by))


def scaled(size, by: float):
    """None, and sizes by point, stay as they are."""
    return size * by if isinstance(size, (int, float)) else size
