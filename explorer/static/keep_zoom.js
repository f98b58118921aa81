// Restores the zoom of a chart that is drawn again. For each chart, by the key of its container, the
// ranges of its axes are stored in the browser window. They are removed by a double click, and not
// used when the chart's original ranges differ (another model: another chart).

const zooms = (window.ctsftZooms ??= new Map()); // chart key -> {original, ranges}

const axisNames = (plot) => Object.keys(plot.layout).filter((name) => /^[xy]axis\d*$/.test(name));

const rangesText = (plot) =>
  JSON.stringify(
    axisNames(plot).map((name) => (plot.layout[name].autorange ? "auto" : plot.layout[name].range)),
  );

const chartKey = (plot) => {
  const container = plot.closest('[class*="st-key-chart-"]');
  const match = container?.className.match(/st-key-chart-\S+/);
  return match && match[0];
};

function store(plot, change) {
  const zoomed = Object.keys(change).some((name) => /axis\d*\.(range|autorange)/.test(name));
  if (!zoomed) return;
  if (rangesText(plot) === plot.zoomOriginal) {
    zooms.delete(chartKey(plot));
    return;
  }
  const fixedAxes = axisNames(plot).filter((name) => !plot.layout[name].autorange);
  const ranges = Object.fromEntries(
    fixedAxes.map((name) => [`${name}.range`, [...plot.layout[name].range]]),
  );
  zooms.set(chartKey(plot), { original: plot.zoomOriginal, ranges });
}

function follow(plot) {
  const drawn = window.Plotly && plot.on && plot.layout?.xaxis?.range && chartKey(plot);
  // a figure that is drawn into the same element brings a layout object of its own
  if (!drawn || plot.zoomLayout === plot.layout) return;
  const firstTime = !plot.zoomLayout;
  const original = rangesText(plot);
  plot.zoomLayout = plot.layout;
  plot.zoomOriginal = original;
  const stored = zooms.get(chartKey(plot));
  if (stored?.original === original) {
    window.Plotly.relayout(plot, structuredClone(stored.ranges));
  }
  if (firstTime) plot.on("plotly_relayout", (change) => store(plot, change));
}

export default function () {
  const followAll = () => document.querySelectorAll(".js-plotly-plot").forEach(follow);
  const observer = new MutationObserver(followAll);
  observer.observe(document.body, { childList: true, subtree: true });
  followAll();
  return () => observer.disconnect();
}
