// A row of a table and a line of a chart that mean the same stand out together: the row under the
// mouse fades the other lines, and the line under the mouse marks its row.
//
// The table is drawn on a canvas: a row is found by its height. While the user has sorted the table,
// which the browser does alone, the order of the rows is not known here, and nothing is marked.

const ROW = 35; // pixels, also of the header line
const FAINT = 0.12;

const title = (data, name) => data.endsWith(`, ${name}`) || data.endsWith(`, ${name}, seeds`);

function sorted(table) {
  const heads = [...table.querySelectorAll("canvas [role=columnheader]")];
  return heads.some((head) => /^[↑↓]/.test(head.textContent.trim()));
}

export default function ({ data }) {
  const table = () => document.querySelector(`.st-key-${data.table} [data-testid=stDataFrame]`);
  const plot = () => document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
  const lines = data.lines; // of each row: the name of its line, "" without one
  let shown = ""; // the line that stands out

  const scrolled = () => table()?.querySelector(".dvn-scroller")?.scrollTop ?? 0;

  function fade(name) {
    const chart = plot();
    if (name === shown || !window.Plotly || !chart?.data) return;
    shown = name;
    const opacities = chart.data.map((trace) => {
      trace.ctsftOpacity ??= trace.opacity ?? 1;
      return !name || title(trace.name ?? "", name) ? trace.ctsftOpacity : trace.ctsftOpacity * FAINT;
    });
    window.Plotly.restyle(chart, { opacity: opacities });
    chart.dataset.highlighted = name;
  }

  function mark(row) {
    const place = table();
    if (!place) return;
    let bar = place.querySelector(".row-highlight");
    if (!bar) {
      bar = document.createElement("div");
      bar.className = "row-highlight";
      place.style.position = "relative";
      place.append(bar);
    }
    const top = ROW * (row + 1) - scrolled();
    bar.hidden = row < 0 || top < ROW || top > place.clientHeight - ROW / 2;
    bar.dataset.row = row;
    bar.style.top = `${top}px`;
    bar.style.height = `${ROW}px`;
  }

  const onMove = (event) => {
    const place = table();
    if (!place || !place.contains(event.target)) {
      if (!plot()?.contains(event.target)) fade("");
      return;
    }
    const within = event.clientY - place.getBoundingClientRect().top;
    const row = Math.floor((within + scrolled()) / ROW) - 1;
    fade(within < ROW || sorted(place) ? "" : (lines[row] ?? ""));
  };

  let followed = null;
  const onHover = (event) => {
    const name = event.points[0]?.data.name ?? "";
    const row = lines.findIndex((line) => line && title(name, line));
    mark(table() && sorted(table()) ? -1 : row);
  };
  const onLeave = () => mark(-1);
  const follow = () => {
    const chart = plot();
    if (!chart?.on || chart === followed) return;
    followed = chart;
    chart.on("plotly_hover", onHover);
    chart.on("plotly_unhover", onLeave);
  };
  window.ctsftRowHighlight?.(); // of an earlier answer of the server
  const observer = new MutationObserver(follow);
  observer.observe(document.body, { childList: true, subtree: true });
  follow();
  document.addEventListener("mousemove", onMove);
  const stop = () => {
    observer.disconnect();
    document.removeEventListener("mousemove", onMove);
    followed?.removeListener?.("plotly_hover", onHover);
    followed?.removeListener?.("plotly_unhover", onLeave);
  };
  window.ctsftRowHighlight = stop;
  return stop;
}
