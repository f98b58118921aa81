"""The library's objects as Plotly figures, for notebooks and for the explorer."""
