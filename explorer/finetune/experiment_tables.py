"""The results of an experiment so far: finished and failed trials, tables, paired differences; no
streamlit.
"""

from collections.abc import Mapping

import pandas as pd

from ctsft import runs
from ctsft.experiment import tables
from ctsft.experiment.results import finished_rows, source_language
from ctsft.experiment.row_differences import on_these_languages
from ctsft.experiment.trials import finished
from ctsft.jobs.experiment_design import Trial
from ctsft.plots.experiment_frontier import undominated_methods
from explorer.finetune.experiment_command import run_design
from explorer.text.run_names import method_name


def so_far(run: runs.Run) -> tuple[list[dict], str, dict[tuple[str, str], float]]:
    """The rows of the finished trials, the source language, and the learning rates that were chosen
    on validation rows.
    """
    design = run_design(run)
    rows, chosen = finished_rows(run, design)
    return rows, design.source or source_language(run), chosen


def failures(run: runs.Run) -> list[str]:
    """The trials whose last attempt failed, with the error, a sentence each."""
    failed = {row["key"]: row for row in run.events() if row.get("kind") == "failed"}
    succeeded = {row["key"] for row in run.events() if row.get("kind") == "grid"}
    sentences = []
    for key, row in failed.items():
        trial = Trial.model_validate(row["cell"])
        if key not in succeeded and not finished(run.id, trial):
            sentences.append(f"{trial.description}: {row['error']}")
    return sentences


def frames(rows: list[Mapping]) -> list[tuple[str, pd.DataFrame]]:
    """A title and a table for each setting and n, in the layout of the paper's Table 4."""
    titled = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        columns, lines = tables.layout(rows, setting)
        for n in dict.fromkeys(n for _, n in columns):
            methods = [method for method, size in columns if size == n]
            counts = {
                spread.count
                for _, _, _, spreads in lines
                for (_, size), spread in spreads.items()
                if size == n
            }
            seeds = " or ".join(map(str, sorted(counts)))
            noun = "seed" if counts == {1} else "seeds"
            titled.append((f"{setting}, n = {n}, {seeds} {noun}", frame(lines, methods, n)))
    return titled


def frame(lines: list[tuple], methods: list[str], n: int) -> pd.DataFrame:
    """`lines`: of `tables.layout`."""
    return pd.DataFrame(
        [
            [
                target,
                side,
                tables.three_decimals(before.mean),
                *(tables.mean_and_sd(spreads.get((method, n))) for method in methods),
            ]
            for target, side, before, spreads in lines
        ],
        columns=["target", "accuracy on", "before", *methods],
    )


def not_dominated(rows: list[Mapping]) -> str:
    """Which ways of tuning no other one beats at both source and target, for each setting and n."""
    best = undominated_methods(rows)
    parts = [
        f"{setting}, n = {n}: {', '.join(map(method_name, methods))}"
        for (setting, n), methods in best.items()
    ]
    if not parts:
        return "No seed is finished on every target yet."
    return (
        f"Not dominated (by means, no other way is better at one of source and target and at least"
        f" as good at the other): {'; '.join(parts)}."
    )


def rates(chosen: Mapping[tuple[str, str], float]) -> str:
    """The chosen learning rates in a sentence; "" if none were chosen."""
    if not chosen:
        return ""
    texts = [f"{method} {rate:g}" for (_, method), rate in chosen.items()]
    return f"Learning rates chosen on validation rows: {', '.join(texts)}."


def differences(rows: list[Mapping], over_rows: bool = False) -> pd.DataFrame:
    """Paired differences between methods, with 95 % intervals; over_rows: over rows and seeds of
    these languages too, which takes a few seconds.
    """
    compared = tables.notable_pairs(tables.paired_differences(rows))
    if over_rows:
        compared = on_these_languages(compared, rows)
    head, lines = tables.difference_table(compared)
    return pd.DataFrame(lines, columns=head)
