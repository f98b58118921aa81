"""The paired differences of an experiment whose tables are stored as Markdown, without its runs.

    python -m benchmarks.stored_differences examples/nusax.results.md

Each cell of the tables is a mean over seeds, rounded to .001; differences are averaged over n
within a language, then over languages (`ctsft.experiment.tables`).
"""

import sys
from pathlib import Path

from ctsft.experiment import method_differences, tables
from ctsft.experiment.stored_tables import stored_rows


def main(path: str):
    rows = stored_rows(Path(path).read_text(encoding="utf-8"))
    compared = method_differences.notable_pairs(method_differences.paired_differences(rows))
    print(tables.table(tables.DIFFERENCE_HEAD, list(map(tables.difference_cells, compared))))


if __name__ == "__main__":
    main(sys.argv[1])
