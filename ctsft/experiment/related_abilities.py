"""What each method of an experiment did to related abilities: other languages, further tasks, and
the perplexity of texts.
"""

from collections.abc import Mapping

from ctsft.experiment.method_differences import SIDES
from ctsft.utils.statistics import spread

TITLE = (
    "Related abilities: change of accuracy, and the factor on the perplexity (1: unchanged); mean ±"
    " standard deviation over targets, n and seeds"
)
USUAL = {f"{side}_before{ending}" for side in SIDES for ending in ("", "_f1")}


def difference_table(rows: list[Mapping]) -> tuple[list[str], list[list[str]]]:
    """Head and lines, a line for each setting and method; no lines where nothing was measured.
    rows: of `tables.trial_row`.
    """
    columns = dict.fromkeys(key for row in rows for key in row if key.endswith("_before"))
    names = [key.removesuffix("_before") for key in columns if key not in USUAL]
    lines = []
    for setting, method in dict.fromkeys((row["setting"], row["method"]) for row in rows):
        some = [row for row in rows if (row["setting"], row["method"]) == (setting, method)]
        cells = [change(some, name) for name in names]
        if any(cells):
            lines.append([setting, method, *cells])
    return ["setting", "method", *names], lines


def change(rows: list[Mapping], name: str) -> str:
    """The mean change of one ability; "" where no row measured it."""
    ends = [(row[f"{name}_before"], row[f"{name}_after"]) for row in rows if f"{name}_after" in row]
    if not ends:
        return ""
    if name == "perplexity":
        one = spread(after / before for before, after in ends)
        return f"{one.mean:.3f}" + ("" if one.sd is None else f" ± {one.sd:.3f}")
    one = spread(after - before for before, after in ends)
    return f"{one.mean:+.3f}" + ("" if one.sd is None else f" ± {one.sd:.3f}")
