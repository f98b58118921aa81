"""Which tuning runs the Compare page shows, in which order, and how the cells of an experiment are
gathered; no streamlit.

Rows are those of `ctsft.results.compare`. What is shown in one line of the table is an entry: a
list of rows, one run or the seeds of one.
"""

from collections.abc import Callable, Iterable, Mapping

from ctsft.jobs.tuning_table import value_text
from explorer.text import outcomes

SINGLE, ALL = "single", ""


# name, and what is smallest in front
ORDERS: dict[str, tuple[str, Callable[[Mapping], float]]] = {
    "newest": ("newest first", lambda row: -row["created"]),
    "gain": ("most gained on the target", lambda row: -row["gain"]),
    "kept": ("most kept of the source", lambda row: row["forgetting"]),
    "share": (
        "fewest numbers moved",
        lambda row: row["share"] if row["share"] is not None else 2.0,
    ),
    "seconds": (
        "shortest",
        lambda row: row["seconds"] if row["seconds"] is not None else float("inf"),
    ),
}


def scopes(rows: list[Mapping]) -> dict[str, str]:
    """What can be looked at by itself -> its name: runs of no experiment, each experiment (newest
    first), everything.
    """
    single, found = 0, {}
    for row in rows:
        if row["experiment"]:
            found.setdefault(row["experiment"], []).append(row)
        else:
            single += 1
    words = {SINGLE: f"Single runs ({single})"} if single else {}
    words |= {
        run: f"Experiment {experiment_name(cells[0])} ({len(cells)} cells)"
        for run, cells in found.items()
    }
    return words | ({ALL: f"Everything ({len(rows)})"} if len(words) > 1 else {})


def experiment_name(cell: Mapping) -> str:
    """A cell is called "<experiment>: <cell>" when it is begun; one that was renamed has only its
    id to tell.
    """
    name, found, _ = (cell.get("given") or "").partition(": ")
    return name if found else cell["experiment"]


def in_scope(rows: list[Mapping], scope: str) -> list[Mapping]:
    if scope == ALL:
        return rows
    return [row for row in rows if (row["experiment"] or SINGLE) == scope]


def values(rows: Iterable[Mapping], key: str) -> list:
    """What rows say of a key, each once, as they first stand there."""
    return list(dict.fromkeys(row[key] for row in rows))


def picked(rows: list[Mapping], wanted: Mapping[str, list], text: str) -> list[Mapping]:
    """Rows whose values are among the wanted ones (none: any), and that hold every word of a
    text.
    """
    words = text.casefold().split()
    return [
        row
        for row in rows
        if all(not some or row[key] in some for key, some in wanted.items())
        and all(word in told(row) for word in words)
    ]


def told(row: Mapping) -> str:
    """All of a row that one may search for."""
    parts = [
        row["run"],
        row["name"],
        row["note"],
        row["state"],
        outcomes.moved(row),
        str(row["what"]).replace("_", " "),
        row["source"],
    ]
    return " ".join([*parts, *map(value_text, row["settings"].values())]).casefold()


def entries(rows: list[Mapping], by: str, seeds_together: bool) -> list[list[Mapping]]:
    """The table's lines in order: a run each, or one for all runs that differ in their seed
    only.
    """
    found: dict[object, list[Mapping]] = {}
    for row in rows:
        found.setdefault(kind(row, ("seed",)) if seeds_together else row["run"], []).append(row)
    rank = ORDERS[by][1]
    return sorted(found.values(), key=lambda entry: sum(map(rank, entry)) / len(entry))


def kind(row: Mapping, without: tuple[str, ...] = ()) -> tuple:
    """What is equal in rows that are the same but for some settings. Drawn heads may differ in
    number only if that was chosen.
    """
    kept = tuple(
        (name, value_text(value)) for name, value in row["settings"].items() if name not in without
    )
    return row["what"], row["heads"], row["state"] in outcomes.ENDED, row["experiment"], kept
