"""The tables of an experiment that were stored as Markdown (`tables.markdown`), read back."""

import re
from collections.abc import Iterator

from ctsft.experiment import method_differences, tables

TITLE = re.compile(r"\*\*(?P<setting>\w+), n = (?P<n>\d+)\*\*")


def cells_of(text: str) -> Iterator[tuple[dict, str]]:
    """({"setting", "n", "target", "side", "method"}, the text of the cell) of every cell with an
    accuracy; the method "before" is the model before tuning.
    """
    setting, n, methods = "", 0, []
    for line in text.splitlines():
        title = TITLE.match(line)
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if title:
            setting, n, methods = title["setting"], int(title["n"]), []
        elif setting and cells[:2] == ["target", "accuracy on"]:
            methods = cells[2:]
        elif methods and len(cells) == 2 + len(methods) and cells[1] in method_differences.SIDES:
            for method, cell in zip(methods, cells[2:], strict=True):
                place = {"setting": setting, "n": n, "target": cells[0], "side": cells[1]}
                yield place | {"method": method}, cell
        elif not cells and line.strip():
            setting, methods = "", []


def stored_rows(text: str) -> list[dict]:
    """A row for each setting, n, language and method: accuracies after tuning, mean over seeds."""
    rows: dict[tuple, dict] = {}
    for place, cell in cells_of(text):
        if place["target"] == tables.ALL_TARGETS or place["method"] == "before":
            continue
        names = ("setting", "method", "target", "n")
        key = {name: place[name] for name in names} | {"seed": 0}
        row = rows.setdefault(tuple(key.values()), key)
        row[f"{place['side']}_after"] = float(cell.split()[0])
    return list(rows.values())
