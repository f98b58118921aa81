"""Every chart of the app is drawn here: with what it shows in words for screen readers, and with a
small menu that gives it as a file.

PNG and SVG are made in the browser from what it shows, zoom included, dark on white whatever the
theme; HTML and CSV on the server when they are asked for, so that a rerun pays for none of them.
"""

import re

import plotly.graph_objects as go
import streamlit as st

from ctsft.plots import figure_files, style
from ctsft.utils.file_names import slug

PLAIN = {"displayModeBar": False}

HTML = (
    '<div><button data-kind="png">PNG</button><button data-kind="svg">SVG</button><span'
    ' role="status"></span></div>'
)

CSS = """
div { display: grid; grid-template-columns: 1fr 1fr; gap: 0.5rem; font-family: var(--st-font); font-size: 0.875rem; }
button { min-height: 2.5rem; padding: 0.25rem 0.75rem; font: inherit; cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); outline: none; }
button:focus-visible { box-shadow: 0 0 0 3px color-mix(in srgb, var(--st-primary-color) 40%, transparent); }
span { grid-column: 1 / 3; color: var(--st-text-color); }
span:empty { display: none; }
"""

JS = """
const INK = "#23252b";
export default function ({ data, parentElement }) {
  const status = parentElement.querySelector("span");
  const save = async (kind) => {
    const shown = document.querySelector(`.st-key-${data.key} .js-plotly-plot`);
    if (!shown || !window.Plotly) { status.textContent = "The chart is not drawn yet; try again in a moment."; return; }
    const { width: seen, height } = shown.getBoundingClientRect(), width = data.fixed ? seen : Math.max(seen, 640);
    const legend = { ...shown.layout.legend, font: { color: INK } };
    const layout = { ...shown.layout, template: {}, width, height, legend, paper_bgcolor: "#ffffff",
                     font: { family: "Source Sans, system-ui, sans-serif", size: 12, color: INK } };
    const picture = await window.Plotly.toImage({ data: shown.data, layout }, { format: kind, width, height, scale: kind === "png" ? 2 : 1 });
    const link = document.createElement("a");
    link.href = picture;
    link.download = `${data.name}.${kind}`;
    link.click();
    status.textContent = "";
  };
  for (const button of parentElement.querySelectorAll("button")) button.onclick = () => save(button.dataset.kind);
}
"""


def show(
    fig: go.Figure,
    key: str,
    *,
    alt: str = "",
    name: str = "",
    width: str = "stretch",
    config: dict | None = None,
    **more,
):
    """`st.plotly_chart` with its description and its menu; what that returns. `name`: of the files
    (default: the key).
    """
    safe = slug(name or key, "chart", also=".").lower()
    with st.container(key=f"chart-{key}", gap=None, width=width):
        event = st.plotly_chart(
            fig,
            key=key,
            width=width,
            alt=alt or style.alt(fig),
            config=PLAIN if config is None else config,
            **more,
        )
        with st.popover("Export", type="tertiary", icon=":material/download:", key=f"export-{key}"):
            # the class that Streamlit makes of the container's key
            place = re.sub(r"[^a-zA-Z0-9_-]", "-", f"chart-{key}")
            pictures()(
                data={"key": place, "name": safe, "fixed": fig.layout.width is not None},
                key=f"pictures-{key}",
            )
            with st.container(horizontal=True, gap="xsmall"):
                st.download_button(
                    "HTML",
                    lambda: figure_files.page_of({"": fig}, title_of(fig, safe)),
                    f"{safe}.html",
                    "text/html",
                    key=f"html-{key}",
                    on_click="ignore",
                    width="stretch",
                    help="A page that opens without a network.",
                )
                st.download_button(
                    "CSV",
                    lambda: figure_files.csv_of(fig),
                    f"{safe}.csv",
                    "text/csv",
                    key=f"csv-{key}",
                    on_click="ignore",
                    width="stretch",
                    help="What the chart draws, as numbers.",
                )
    return event


def pictures():
    """The two buttons that the browser answers by itself."""
    return st.components.v2.component("pictures", html=HTML, css=CSS, js=JS)


def title_of(fig: go.Figure, otherwise: str) -> str:
    return figure_files.plain(fig.layout.title.text or "") or otherwise
