"""A chart that is drawn again keeps the part that was zoomed into: Streamlit puts a new chart in
the place of one whose figure changed.

What the user looks at stays in the browser: for every chart, by its key, the ranges of its axes,
until a double click shows all again or another model makes it another chart.
"""

import streamlit as st

JS = """
const kept = (window.keptZoom ??= new Map());
const axes = (plot) => Object.keys(plot.layout).filter((name) => /^[xy]axis\\d*$/.test(name));
const whole = (plot) => JSON.stringify(axes(plot).map((name) => plot.layout[name].autorange ? "auto" : plot.layout[name].range));
const key = (plot) => {
  const names = plot.closest('[class*="st-key-chart-"]')?.className.match(/st-key-chart-\\S+/);
  return names && names[0].replace(/-map-\\d+$/, "-map");
};
const take = (plot) => {
  if (!window.Plotly || !plot.on || !plot.layout?.xaxis?.range || !key(plot) || plot.zoomOf === plot.layout) return;
  const first = !plot.zoomOf, start = whole(plot), found = kept.get(key(plot));
  Object.assign(plot, { zoomOf: plot.layout, zoomStart: start });       // a figure drawn into the same place has a layout of its own
  if (found?.start === start) window.Plotly.relayout(plot, structuredClone(found.ranges));
  if (first) plot.on("plotly_relayout", (change) => {
    if (!Object.keys(change).some((name) => /axis\\d*\\.(range|autorange)/.test(name))) return;
    const ranges = Object.fromEntries(axes(plot).filter((name) => !plot.layout[name].autorange)
      .map((name) => [`${name}.range`, [...plot.layout[name].range]]));
    if (whole(plot) === plot.zoomStart) kept.delete(key(plot)); else kept.set(key(plot), { start: plot.zoomStart, ranges });
  });
};
export default function () {
  const every = () => document.querySelectorAll(".js-plotly-plot").forEach(take);
  const watch = new MutationObserver(every);
  watch.observe(document.body, { childList: true, subtree: true });
  every();
  return () => watch.disconnect();
}
"""


def keep():
    """Call once a run, on every page."""
    st.components.v2.component("zoom", html="<span></span>", js=JS)(key="zoom")
