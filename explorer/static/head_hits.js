// Clicks on the cells of a head map, or on the points of another chart, found by their place in the
// window. Plotly hears none while the chart is being drawn again, which takes long where the server or
// the browser is busy; then the place that it had before counts.

const STILL = 4; // pixels between the press and the release of a click
const REACH = 14; // pixels between a click and the point that it hits

const hits = (window.ctsftHits ??= {}); // {key of a chart: {heard, container, grid, pressed}}

// where the cells, or the points with `customdata`, are in the container; null where none are drawn
function gridOf(container) {
  const plot = container.querySelector(".js-plotly-plot");
  const area = plot?.querySelector(".nsewdrag")?.getBoundingClientRect();
  const traces = (plot?._fullData || []).filter((one) => one.visible === true && one.customdata);
  if (!area?.width || !traces.length) return null;
  const place = container.getBoundingClientRect();
  const { xaxis, yaxis } = plot._fullLayout;
  const cells = traces.find((trace) => trace.name === "heads");
  const points = ({ x, y, customdata }) =>
    [...customdata].map((head, i) => ({ head, x: xaxis.d2p(x[i]), y: yaxis.d2p(y[i]) }));
  return {
    left: area.left - place.left,
    top: area.top - place.top,
    width: area.width,
    height: area.height,
    across: [...xaxis.range],
    down: [...yaxis.range].reverse(), // from the top
    cells,
    points: cells ? [] : traces.flatMap(points),
  };
}

function headAt({ clientX, clientY }, { container, grid }) {
  const place = container.getBoundingClientRect();
  const across = (clientX - place.left - grid.left) / grid.width;
  const down = (clientY - place.top - grid.top) / grid.height;
  if (Math.min(across, down) < 0 || Math.max(across, down) > 1) return null;
  return grid.cells ? cellAt(grid, across, down) : nearest(grid, across, down);
}

function nearest({ points, width, height }, across, down) {
  const from = ({ x, y }) => Math.hypot(x - across * width, y - down * height);
  const near = points.reduce((a, b) => (from(b) < from(a) ? b : a));
  return from(near) <= REACH ? [...near.head] : null;
}

function cellAt(grid, across, down) {
  const cell = ([from, to], share) => Math.round(from + share * (to - from));
  const [x, y] = [cell(grid.across, across), cell(grid.down, down)];
  const i = grid.cells.customdata.findIndex((_, i) => grid.cells.x[i] === x && grid.cells.y[i] === y);
  return i < 0 ? null : [...grid.cells.customdata[i]];
}

// what lies over the map is neither in its container nor around it
const isOn = (target, container) => container.contains(target) || target.contains?.(container);

function press(hit, name, event) {
  hit.pressed = null;
  const container = document.querySelector(`.st-key-${name}`);
  if (event.button || !container || !isOn(event.target, container)) return;
  const grid = gridOf(container);
  if (grid) Object.assign(hit, { container, grid });
  if (hit.container !== container) return; // nothing was drawn here yet
  const head = headAt(event, hit);
  if (head) hit.pressed = { head, x: event.clientX, y: event.clientY };
}

function release(hit, event) {
  const { pressed } = hit;
  hit.pressed = null;
  if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) <= STILL) {
    hit.heard(pressed.head);
  }
}

// `name`: the key of the chart's container; `heard(head)` takes the place of an earlier one, and the
// listeners stay: a click may begin before an answer of the server and end after it
function followHeads(name, heard) {
  if (hits[name]) {
    hits[name].heard = heard;
    return;
  }
  const hit = (hits[name] = { heard });
  window.addEventListener("pointerdown", (event) => press(hit, name, event), true);
  window.addEventListener("pointerup", (event) => release(hit, event), true);
  window.addEventListener("pointercancel", () => (hit.pressed = null), true);
}
