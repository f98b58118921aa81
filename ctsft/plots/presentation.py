"""Figures for a projector: large type, thick lines, as large as the place where they are shown."""

import plotly.graph_objects as go

FONT = 18  # pixels
SMALL = 15  # pixels, of colour bars
SCALE = 1.5  # of lines, marks and margins


def enlarged(fig: go.Figure) -> go.Figure:
    """A copy with large type and without a size and a title of its own. The page that shows it
    names it; `fig` stays as it is.
    """
    large = go.Figure(fig)
    large.update_layout(
        width=None,
        height=None,
        autosize=True,
        title_text="",
        font_size=FONT,
        hoverlabel_font_size=FONT,
        legend_font_size=FONT,
        margin={side: scaled(fig.layout.margin[side]) for side in ("l", "r", "t", "b")},
    )
    axis = {"tickfont_size": FONT, "title_font_size": FONT}
    large.update_xaxes(axis).update_yaxes(axis)
    for note in large.layout.annotations:
        note.update(font_size=FONT, xshift=scaled(note.xshift), yshift=scaled(note.yshift))
    for shape in large.layout.shapes:
        shape.line.width = scaled(shape.line.width)
    for trace in large.data:
        enlarge_trace(trace)
    return large


def enlarge_trace(trace) -> None:
    if trace.type == "heatmap":
        trace.colorbar.update(tickfont_size=SMALL, title_font_size=SMALL, thickness=16)
        return
    if trace.type != "scatter":
        return
    trace.line.width = scaled(trace.line.width)
    trace.textfont.size = FONT
    if trace.name != "heads":  # the squares that carry the hover texts of a map
        trace.marker.size = scaled(trace.marker.size)
    for bar in (trace.error_x, trace.error_y):
        bar.update(thickness=scaled(bar.thickness), width=scaled(bar.width))


def scaled(size):
    """None, and sizes by point, stay as they are."""
    return size * SCALE if isinstance(size, (int, float)) else size
