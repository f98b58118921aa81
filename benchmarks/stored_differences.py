"""The paired differences of an experiment whose tables are stored as Markdown, without its runs.

    python -m benchmarks.stored_differences examples/nusax.results.md

Each cell of the tables is a mean over seeds, rounded to .001; differences are averaged over n
within a language, then over languages (`ctsft.experiment.tables`).
"""

import re
import sys
from pathlib import Path

from ctsft.experiment import method_differences, tables

TITLE = re.compile(r"\*\*(?P<setting>\w+), n = (?P<n>\d+)\*\*")


def stored_rows(text: str) -> list[dict]:
    """A row for each setting, n, language and method: accuracies after tuning, mean over seeds."""
    found: dict[tuple, dict] = {}
    setting, n, methods = "", 0, []
    for line in text.splitlines():
        title = TITLE.match(line)
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if title:
            setting, n, methods = title["setting"], int(title["n"]), []
        elif setting and cells[:2] == ["target", "accuracy on"]:
            methods = cells[3:]
        elif methods and len(cells) == 3 + len(methods) and cells[1] in method_differences.SIDES:
            if cells[0] == tables.ALL_TARGETS:
                continue
            for method, cell in zip(methods, cells[3:], strict=True):
                key = {"setting": setting, "method": method, "target": cells[0], "n": n, "seed": 0}
                row = found.setdefault(tuple(key.values()), key)
                row[f"{cells[1]}_after"] = float(cell.split()[0])
        elif not cells and line.strip():
            setting, methods = "", []
    return list(found.values())


def main(path: str):
    rows = stored_rows(Path(path).read_text(encoding="utf-8"))
    compared = method_differences.notable_pairs(method_differences.paired_differences(rows))
    print(tables.table(tables.DIFFERENCE_HEAD, list(map(tables.difference_cells, compared))))


if __name__ == "__main__":
    main(sys.argv[1])
