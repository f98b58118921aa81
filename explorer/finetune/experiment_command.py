"""An experiment from a session's choices: its design, the time it needs, and its results so far; no
streamlit.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace

from ctsft import runs
from ctsft.jobs.experiment_design import MEASURING, Design, validated
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
    """Numbers with commas between them. Raises UserError for a part that is not a number."""
    values = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            values.append(kind(part))
        except ValueError:
            sort, example = (
                ("a whole number", "25, 100") if kind is int else ("a number", "3e-4, 1e-3")
            )
            raise UserError(
                f"{part!r} under {what} is not {sort}; write numbers with commas between them, such"
                f" as {example}."
            ) from None
    if not values:
        raise UserError(f"{what} is empty; write at least one number.")
    return values


def design(view: View) -> Design:
    """The design in the form. Raises UserError with one sentence for what cannot be used."""
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
        raise UserError(f"The learning rate {repeated[0]:g} is repeated; write each rate once.")
    return found


def fields(found: Design, view: View) -> dict:
    """The form's fields for a design. Raises UserError for a design that the form cannot show, or
    that belongs to another model or task.
    """
    setting = found.settings[0]
    values = {
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
    again = design(replace(view, **values)).model_dump()
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
    return values


def parse(text: str, name: str) -> Design:
    """A design from a file's text. Raises UserError if it is not a design."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"The file {name!r} is not valid JSON ({error}); use a file that *Save design* wrote."
        ) from None
    return validated(content, f"The file {name!r}")


def room(found: Design, pool: Callable[[str], int]) -> Design:
    """The design itself. Raises UserError if a target has too few rows; `pool(target)`: the number
    of rows that the trials can draw from.
    """
    requested = max(found.n)
    for target in found.targets:
        available = pool(target)
        if requested <= available:
            continue
        message = f"{requested} labelled examples are requested, and"
        if found.pool == "B":
            raise UserError(
                f"{message} pool B of the train rows of {target} has {available}; request fewer, or"
                " draw from all rows."
            )
        raise UserError(f"{message} {target} has {available} train rows; request fewer.")
    return found


def save(found: Design) -> str:
    """Write the design to a file that a run can read; equal designs share a file."""
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
    """(seconds, steps of tuning) of every finished tuning run of this model and task; measurements
    are counted as steps too (`Design.cost`).
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
    """The seconds that all trials will take, at the median pace of the measured runs; None without
    any.
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
