"""An experiment from a session's choices: its design, what it would take, and what it has come to
so far. No streamlit.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pandas as pd

from ctsft import runs
from ctsft.experiment import tables
from ctsft.experiment.results import finished_rows, source_language
from ctsft.experiment.trials import finished
from ctsft.jobs.experiment_design import MEASURING, Design, Trial, validated
from ctsft.jobs.requests import ExperimentRequest, Tuning, base_model, needed_request, typed_runs
from ctsft.runs import results
from ctsft.tuning.recipes import RECIPES
from ctsft.utils.atomic_files import atomic_path
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug
from explorer.session.view import View

METHODS = tuple(name for name, one in RECIPES.items() if not one.from_file)


DISCOVERY = ("size", "seed", "method", "attention", "positions", "rules")


def numbers(text: str, what: str, kind: type = int) -> list:
    """Numbers with commas. UserError that says which of them is none."""
    found = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        try:
            found.append(kind(word))
        except ValueError:
            sort, example = (
                ("a whole number", "25, 100") if kind is int else ("a number", "3e-4, 1e-3")
            )
            raise UserError(
                f"{word!r} under {what} is not {sort}; write numbers with commas between them, such"
                f" as {example}."
            ) from None
    if not found:
        raise UserError(f"{what} is empty; write at least one number.")
    return found


def design(view: View) -> Design:
    """What the form says. UserError in one sentence for what cannot be used."""
    for chosen, what in ((view.design_targets, "target language"), (view.design_methods, "method")):
        if not chosen:
            raise UserError(f"No {what} is chosen; choose at least one.")
    rates = numbers(view.design_rates, "Learning rates", float)
    setting = {
        "name": f"{view.design_epochs} epoch{'' if view.design_epochs == 1 else 's'}",
        "epochs": view.design_epochs,
        "batch_size": view.design_batch,
        "weight_decay": view.design_decay,
    }
    setting |= (
        {"learning_rate": rates[0]}
        if len(rates) == 1
        else {"learning_rates": rates, "choose": "valid"}
    )
    base = (
        base_model(
            view.subject, Tuning(target=view.source, what="direct", base=view.base.strip() or None)
        )
        if "direct" in view.design_methods
        else None
    )
    found = validated(
        {
            "name": view.design_name.strip() or "experiment",
            "model": view.model,
            "base": base,
            "task": view.task,
            "source": view.source,
            "targets": view.design_targets,
            "related": view.design_related,
            "methods": view.design_methods,
            "n": numbers(view.design_n, "Labelled examples"),
            "seeds": numbers(view.design_seeds, "Seeds"),
            "k": view.design_k,
            "settings": [setting],
            "pool": view.design_pool,
            "rows": view.design_rows or None,
            "keep_deltas": view.design_deltas,
            "discovery": {name: getattr(view.scoring, name) for name in DISCOVERY},
        }
    )
    repeated = [rate for rate in rates if rates.count(rate) > 1]
    if repeated:
        raise UserError(f"The learning rate {repeated[0]:g} stands twice; each may stand once.")
    return found


def fields(found: Design, view: View) -> dict:
    """The form's fields that say the same as a design. UserError for one that says more than the
    form can, or is of another model or task.
    """
    setting = found.settings[0]
    said = {
        "design_name": found.name,
        "design_methods": found.methods,
        "design_targets": found.targets,
        "design_related": found.related,
        "design_n": ", ".join(map(str, found.n)),
        "design_seeds": ", ".join(map(str, found.seeds)),
        "design_k": found.k,
        "design_epochs": int(setting.epochs),
        "design_rates": ", ".join(
            f"{rate:g}" for rate in setting.learning_rates or [setting.learning_rate]
        ),
        "design_batch": setting.batch_size,
        "design_decay": setting.weight_decay,
        "design_pool": found.pool,
        "design_rows": found.rows or 0,
        "design_deltas": found.keep_deltas,
    }
    again = design(replace(view, **said)).model_dump()
    for name, value in found.model_dump().items():
        if name != "settings" and again[name] != value:
            raise UserError(
                f"This design has {name} = {value!r}, and the form {again[name]!r}: choose that on"
                " Setup or Relevance first, or start the file with `python -m ctsft experiment"
                " FILE`."
            )
    if [one | {"name": ""} for one in again["settings"]] != [
        one.model_dump() | {"name": ""} for one in found.settings
    ]:
        raise UserError(
            "This design has settings that the form cannot show (several, or a learning rate for"
            " each method); start the file with `python -m ctsft experiment FILE`."
        )
    return said


def parse(text: str, name: str) -> Design:
    """A design from a file's text. UserError when it is none."""
    try:
        words = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"The file {name!r} is not valid JSON ({error}); give one that Save design wrote."
        ) from None
    return validated(words, f"The file {name!r}")


def room(found: Design, pool: Callable[[str], int]) -> Design:
    """Itself; UserError when a target has too few rows. `pool(target)`: how many can be drawn
    from.
    """
    for target in found.targets:
        if max(found.n) > pool(target):
            raise UserError(
                f"{max(found.n)} labelled examples were asked for, and"
                f" {'pool B of ' if found.pool == 'B' else ''}the train rows of {target}"
                f" {'holds' if found.pool == 'B' else 'are'} {pool(target)}; ask for"
                f" fewer{', or draw from all rows' if found.pool == 'B' else ''}."
            )
    return found


def save(found: Design) -> str:
    """Write it where a run can read it; the same design goes to the same file."""
    text = found.model_dump_json(indent=1) + "\n"
    folder = runs.home() / "designs"
    folder.mkdir(parents=True, exist_ok=True)
    path = (
        folder
        / f"{file_name(found)}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}.json"
    )
    with atomic_path(path, "the design") as part:
        part.write_text(text, encoding="utf-8")
    return str(path)


def file_name(found: Design) -> str:
    return slug(found.name, "experiment")


def request(view: View, found: Design, path: str) -> ExperimentRequest:
    """What the experiment's run is asked; `path`: the file of the design."""
    return ExperimentRequest(
        name=found.name,
        design=found,
        file=path,
        data_dir=view.data_dir or None,
        jobs=view.design_jobs,
    )


def start(view: View, found: Design) -> runs.Run:
    return runs.start(request(view, found, save(found)))


def measured(view: View) -> list[tuple[float, float]]:
    """(seconds, steps of tuning) of every finished tuning run of this model and task; measuring
    counts in steps too (`Design.cost`).
    """
    found = []
    for run, asked in typed_runs("finetune"):
        subject, done = asked.subject, results.result(run)
        if (subject.model, subject.task) == (view.model, view.task) and done.get("history"):
            last = done["history"][-1]
            times = 1 if "cell" in done else len(done["history"])
            found.append((last["seconds"], MEASURING * times + last["step"]))
    return found


def seconds(found: Design, pace: Iterable[tuple[float, float]], at_once: int = 1) -> float | None:
    """How long all cells would take, at the middle pace of measured runs; None where there is
    none.
    """
    each = [took / steps for took, steps in pace if steps]
    total = sum(map(found.cost, [*found.grid(), *found.trials({})]))
    return statistics.median(each) * total / at_once if each else None


def listed(view: View) -> list[runs.Run]:
    """Experiments on the view's model and task, newest first."""

    return [
        run
        for run, asked in typed_runs("experiment")
        if (asked.design.model, asked.design.task) == (view.model, view.task)
    ]


def of(run: runs.Run) -> Design:
    """The design of an experiment's run."""
    return needed_request(run).design


def so_far(run: runs.Run) -> tuple[list[dict], str, dict[tuple[str, str], float]]:
    """Rows of the finished cells (`ctsft.tables`), the source language, and the learning rates that
    validation rows chose.
    """
    found = of(run)
    rows, chosen = finished_rows(run, found)
    return rows, found.source or source_language(run), chosen


def failures(run: runs.Run) -> list[str]:
    """The cells whose last try failed, and why, a sentence each."""
    found = {row["key"]: row for row in run.events() if row.get("kind") == "failed"}
    again = {row["key"] for row in run.events() if row.get("kind") == "grid"}
    return [
        f"{cell.description}: {row['error']}"
        for key, row in found.items()
        if key not in again and not finished(run.id, cell := Trial.model_validate(row["cell"]))
    ]


def frames(rows: list[Mapping]) -> list[tuple[str, pd.DataFrame]]:
    """A table a setting and n, in the layout of the paper's Table 4, with what it is of."""
    found = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        columns, lines = tables.layout(rows, setting)
        for n in dict.fromkeys(n for _, n in columns):
            methods = [method for method, size in columns if size == n]
            table = pd.DataFrame(
                [
                    [
                        target,
                        side,
                        tables.three_decimals(before.mean),
                        *(tables.mean_and_sd(cells.get((method, n))) for method in methods),
                    ]
                    for target, side, before, cells in lines
                ],
                columns=["target", "accuracy on", "before", *methods],
            )
            seeds = sorted(
                {one.count for _, _, _, cells in lines for key, one in cells.items() if key[1] == n}
            )
            found.append(
                (
                    (
                        f"{setting}, n = {n}, {' or '.join(map(str, seeds))}"
                        f" seed{'' if seeds == [1] else 's'}"
                    ),
                    table,
                )
            )
    return found


def rates(chosen: Mapping[tuple[str, str], float]) -> str:
    """The choice of learning rates in a sentence; "" where there was none."""
    if not chosen:
        return ""
    return (
        "Learning rates chosen on validation rows:"
        f" {', '.join(f'{method} {rate:g}' for (_, method), rate in chosen.items())}."
    )


def differences(rows: list[Mapping]) -> pd.DataFrame:
    """Paired differences between methods, with 95 % bootstrap intervals."""
    return pd.DataFrame(
        [
            [
                one["setting"],
                f"{one['one']} − {one['other']}",
                one["pairs"],
                *(tables.interval_text(one, side) for side in tables.SIDES),
                one["verdict"],
            ]
            for one in tables.notable_pairs(tables.paired_differences(rows))
        ],
        columns=["setting", "methods", "pairs", "target", "source", "verdict"],
    )
