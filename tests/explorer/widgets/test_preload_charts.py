"""Plotly is loaded before the first chart: by the file's name in the installed Streamlit."""

from pathlib import Path

from streamlit import file_util

from explorer.widgets import preload_charts


def test_the_file_is_the_installed_streamlits():
    name = preload_charts.chart_file()
    assert name, "Streamlit has another file for its charts: preload_charts.chart_file"
    text = Path(file_util.get_static_dir(), "static", "js", name).read_text(encoding="utf-8")
    assert "plotly" in text


def test_a_streamlit_without_it_loads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(file_util, "get_static_dir", lambda: str(tmp_path))
    preload_charts.chart_file.cache_clear()
    try:
        assert preload_charts.chart_file() is None
        preload_charts.preload()
    finally:
        preload_charts.chart_file.cache_clear()
