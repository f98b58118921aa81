"""The runs that are missing for a fair comparison: every way of tuning on the same targets, numbers
of rows and seeds; no streamlit.
"""

from collections.abc import Mapping

from ctsft import runs
from ctsft.jobs.requests import FinetuneRequest, needed_request
from ctsft.jobs.tuning_settings import setting_text
from explorer.session import next_runs

CELL = ("target", "n", "seed")
# settings that are part of a way of tuning
OF_WAY = ("hold", "replay", "ewc", "l2", "kl", "kv", "norms", "extra")
OF_WAY += ("lora_rank", "lora_alpha", "lora_targets", "learning_rate")
MOST = 40  # runs that are started at once


def missing_runs(rows: list[Mapping]) -> list[FinetuneRequest]:
    """The requests that complete the shown finished runs: among runs that differ only in the way
    of tuning, target, n and seed, each way gets every combination that another way has. Runs of
    experiments and explorations are left as they are.
    """
    groups: dict[tuple, dict[tuple, list[Mapping]]] = {}
    for row in rows:
        if row["state"] != "done" or row["experiment"] or row.get("origin"):
            continue
        same = key(row, (*CELL, *OF_WAY, "related", "setting"))
        way = (row["what"], row["heads"], *(text(row, name) for name in OF_WAY))
        groups.setdefault(same, {}).setdefault(way, []).append(row)
    requests = [
        request for ways in groups.values() if len(ways) > 1 for request in completing(ways)
    ]
    return next_runs.missing(requests) if len(requests) <= MOST else []


def completing(ways: Mapping[tuple, list[Mapping]]) -> list[FinetuneRequest]:
    """A request for each combination that a way lacks, after its run on the same target, or else
    its first one.
    """
    cells = dict.fromkeys(cell(row) for some in ways.values() for row in some)
    requests = []
    for some in ways.values():
        measured = {cell(row) for row in some}
        for target, n, seed in cells:
            if (target, n, seed) not in measured:
                like = next((row for row in some if row["target"] == target), some[0])
                request = needed_request(runs.get(like["run"]))
                requests.append(next_runs.on(request, target, n, seed))
    return requests


def cell(row: Mapping) -> tuple:
    return tuple(row["settings"][name] for name in CELL)


def key(row: Mapping, ignored: tuple[str, ...]) -> tuple:
    return tuple((name, text(row, name)) for name in row["settings"] if name not in ignored)


def text(row: Mapping, name: str) -> str:
    return setting_text(row["settings"].get(name))
