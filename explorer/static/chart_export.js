// Saves the chart beside this menu as PNG or SVG, as the browser shows it (zoom included): dark text
// on white, whatever the theme. `data`: container (CSS class of the chart's container), name (of the
// file), fixed_width (whether the figure has a width of its own).

const TEXT_COLOUR = "#23252b";
const MIN_WIDTH = 640; // pixels, for charts that adapt to the page's width

function plainLayout(plot, width, height) {
  return {
    ...plot.layout,
    template: {},
    width,
    height,
    legend: { ...plot.layout.legend, font: { color: TEXT_COLOUR } },
    paper_bgcolor: "#ffffff",
    font: { family: "Source Sans, system-ui, sans-serif", size: 12, color: TEXT_COLOUR },
  };
}

function download(url, fileName) {
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
}

export default function ({ data, parentElement }) {
  const status = parentElement.querySelector("span");

  const save = async (format) => {
    const plot = document.querySelector(`.st-key-${data.container} .js-plotly-plot`);
    if (!plot || !window.Plotly) {
      status.textContent = "The chart is not drawn yet; try again in a moment.";
      return;
    }
    const shown = plot.getBoundingClientRect();
    const width = data.fixed_width ? shown.width : Math.max(shown.width, MIN_WIDTH);
    const height = shown.height;
    const figure = { data: plot.data, layout: plainLayout(plot, width, height) };
    const scale = format === "png" ? 2 : 1;
    const image = await window.Plotly.toImage(figure, { format, width, height, scale });
    download(image, `${data.name}.${format}`);
    status.textContent = "";
  };

  for (const button of parentElement.querySelectorAll("button")) {
    button.onclick = () => save(button.dataset.format);
  }
}
