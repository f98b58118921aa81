"""The source-against-target frontier of an experiment as a picture and a page.

python -m benchmarks.frontier RUN [--out assets/screenshots/frontier.png] [--html frontier.html]
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.browser import browser
from ctsft import runs
from ctsft.experiment.results import finished_rows
from ctsft.jobs.experiment_design import Design
from ctsft.plots.experiment_frontier import frontier
from ctsft.plots.style import alt


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, default=Path("assets/screenshots/frontier.png"))
    parser.add_argument("--html", type=Path)
    args = parser.parse_args()
    run = runs.get(args.run)
    design = Design.model_validate_json(run.file("design.json").read_text(encoding="utf-8"))
    rows, _ = finished_rows(run, design)
    fig = frontier(rows)
    fig.update_layout(paper_bgcolor="white", plot_bgcolor="white")
    with tempfile.TemporaryDirectory() as folder:
        page = args.html or Path(folder) / "frontier.html"
        fig.write_html(page, include_plotlyjs=True, full_html=True)
        with browser(1100, int(fig.layout.height) + 20) as tab:
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector(".js-plotly-plot .main-svg")
            tab.wait_for_timeout(500)
            tab.locator(".js-plotly-plot").first.screenshot(path=args.out)
    print(f"{args.out}\n{alt(fig)}")


if __name__ == "__main__":
    main()
