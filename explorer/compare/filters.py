"""Which tuning runs the Compare page shows, in which order, and how the trials of an experiment are
grouped; no streamlit.

Rows are those of the table of tuning runs. A line of the page's table is an entry: a list of rows,
either one run or all seeds of the same settings.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf

from ctsft.jobs.tuning_settings import setting_text
from ctsft.runs.explorations import LABEL
from explorer.session.page_choices import FROM
from explorer.text.outcomes import ENDED
from explorer.text.run_names import trained_text

# values that cannot be compared with each other: one at a time, unless all are requested
SEPARATE = ("model", "task", "target")
SELECTABLE = ("what", "seed", "state")
SINGLE, ALL = "single", ""  # the scopes beside the experiments' runs
Entry = list[Mapping]


def or_last(value: float | None) -> float:
    """A missing value is sorted last."""
    return inf if value is None else value


# name -> its label, and the value by which rows are sorted, smallest first
ORDERS: dict[str, tuple[str, Callable[[Mapping], float]]] = {
    "newest": ("newest first", lambda row: -row["created"]),
    "gain": ("highest gain on the target", lambda row: -row["gain"]),
    "forgetting": ("lowest forgetting of the source", lambda row: row["forgetting"]),
    "share": ("fewest trained parameters", lambda row: or_last(row["share"])),
    "seconds": ("shortest time", lambda row: or_last(row["seconds"])),
}


def scopes(rows: list[Mapping]) -> dict[str, str]:
    """The groups of runs that can be shown alone, with their labels: runs that belong to no
    experiment, each experiment (newest first), each exploration, all runs.
    """
    n_single, experiments, explorations = 0, {}, {}
    for row in rows:
        if row.get("origin"):
            explorations.setdefault(scope_of(row), []).append(row)
        elif row["experiment"]:
            experiments.setdefault(row["experiment"], []).append(row)
        else:
            n_single += 1
    labels = {SINGLE: f"Single runs ({n_single})"} if n_single else {}
    for run, trials in experiments.items():
        labels[run] = f"Experiment {experiment_name(trials[0])} ({len(trials)} trials)"
    for scope, of in explorations.items():
        origin = of[0]["origin"]
        title = "Recorded runs" if origin == LABEL else f"Exploration {origin}"
        labels[scope] = f"{title} ({len(of)})"
    if len(labels) > 1:
        labels[ALL] = f"Everything ({len(rows)})"
    return labels


def experiment_name(trial: Mapping) -> str:
    """The experiment's name, from the name "<experiment>: <trial>" that a trial gets when it
    starts; its run's id if there is none.
    """
    name, separator, _ = (trial.get("given") or "").partition(": ")
    return name if separator else trial["experiment"]


def shown(rows: list[Mapping], view) -> list[Mapping]:
    """The rows that the view's filters show (`filter_bar` draws them); a choice that is not there
    is replaced by the first one.
    """
    scope = view.compare_scope if view.compare_scope in scopes(rows) else next(iter(scopes(rows)))
    rows = in_scope(rows, scope)
    for key in SEPARATE:
        values = [*map(str, distinct(rows, key)), ""]
        wanted = getattr(view, f"compare_{key}")
        wanted = wanted if wanted in values else values[0]
        rows = [row for row in rows if wanted in ("", str(row[key]))] or rows
    selected = {
        key: [value for value in getattr(view, f"compare_{key}") if value in distinct(rows, key)]
        for key in SELECTABLE
    }
    return matching(rows, selected, view.compare_text)


def in_scope(rows: list[Mapping], scope: str) -> list[Mapping]:
    if scope == ALL:
        return rows
    return [row for row in rows if scope_of(row) == scope]


def scope_of(row: Mapping) -> str:
    """The group of runs that a row belongs to."""
    origin = row.get("origin")
    return f"{FROM}{origin}" if origin else row["experiment"] or SINGLE


def distinct(rows: Iterable[Mapping], key: str) -> list:
    """The values of a key, each once, in the order of the rows."""
    return list(dict.fromkeys(row[key] for row in rows))


def matching(rows: list[Mapping], selected: Mapping[str, list], search: str) -> list[Mapping]:
    """The rows whose values are among the selected ones (an empty list: any), and that contain
    every word of `search`.
    """
    search_words = search.casefold().split()

    def matches(row: Mapping) -> bool:
        is_selected = all(not values or row[key] in values for key, values in selected.items())
        return is_selected and all(word in searchable_text(row) for word in search_words)

    return [row for row in rows if matches(row)]


def searchable_text(row: Mapping) -> str:
    parts = [
        row["run"],
        row["name"],
        row["note"],
        row["state"],
        trained_text(row),
        str(row["what"]).replace("_", " "),
        row["source"],
        *map(setting_text, row["settings"].values()),
    ]
    return " ".join(parts).casefold()


def entries(rows: list[Mapping], order: str, group_seeds: bool) -> list[Entry]:
    """The lines of the table in order: one for each run, or one for all runs that differ only in
    their seed.
    """
    groups: dict[object, Entry] = {}
    for row in rows:
        key = settings_key(row, ("seed",)) if group_seeds else row["run"]
        groups.setdefault(key, []).append(row)
    rank = ORDERS[order][1]
    return sorted(groups.values(), key=lambda entry: sum(map(rank, entry)) / len(entry))


def settings_key(row: Mapping, ignored: tuple[str, ...] = ()) -> tuple:
    """A key that is equal for rows that differ only in the ignored settings. The number of heads is
    part of it: drawn heads are the same in number unless that was chosen.
    """
    settings = tuple(
        (name, setting_text(value))
        for name, value in row["settings"].items()
        if name not in ignored
    )
    return row["what"], row["heads"], row["state"] in ENDED, scope_of(row), settings
