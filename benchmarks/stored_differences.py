"""The paired differences of an experiment whose tables are stored as Markdown, without its runs,
and for each language the means over n; ways that no other one beats on both sides have a star.

    python -m benchmarks.stored_differences examples/nusax.results.md

Each cell of the tables is a mean over seeds, rounded to .001; differences are averaged over n
within a language, then over languages (`ctsft.experiment.tables`).
"""

import sys
from itertools import groupby
from pathlib import Path
from statistics import fmean

from ctsft.experiment import method_differences, tables
from ctsft.experiment.stored_tables import stored_rows
from ctsft.plots.frontier_marks import undominated

SIDES = ("target_after", "source_after")


def means_over_n(rows: list[dict]) -> list[list[str]]:
    """A line for each setting, language and method: mean accuracy on target and source."""

    def place(row: dict) -> tuple:
        return row["setting"], row["target"]

    lines = []
    for (setting, target), some in groupby(sorted(rows, key=place), place):
        by_method: dict[str, list[dict]] = {}
        for row in some:
            by_method.setdefault(row["method"], []).append(row)
        means = {
            method: tuple(fmean(row[side] for row in of) for side in SIDES)
            for method, of in by_method.items()
        }
        best = undominated([mean[::-1] for mean in means.values()])
        for i, (method, mean) in enumerate(means.items()):
            star = "*" if i in best else ""
            lines.append([setting, target, method, *(f"{value:.4f}" for value in mean), star])
    return lines


def main(path: str):
    rows = stored_rows(Path(path).read_text(encoding="utf-8"))
    compared = method_differences.notable_pairs(method_differences.paired_differences(rows))
    print(tables.table(["setting", "target", "method", *SIDES, ""], means_over_n(rows)), "\n")
    print(tables.table(tables.DIFFERENCE_HEAD, list(map(tables.difference_cells, compared))))


if __name__ == "__main__":
    main(sys.argv[1])
