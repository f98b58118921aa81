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
from ctsft.jobs.request_parts import Tuning, base_model
from ctsft.jobs.requests import ExperimentRequest, needed_request, typed_runs
from ctsft.runs import results
from ctsft.utils.atomic_files import write_text
from ctsft.utils.errors import UserError
from ctsft.utils.file_names import slug
from ctsft.utils.home import home_folder
from explorer.session import own_runs
from explorer.session.view import View

DISCOVERY = ("size", "seed", "method", "attention", "positions", "rules")

# type of a number -> what a message says was expected, and an example
EXPECTED = {int: ("a whole number", "25, 100"), float: ("a number", "3e-4, 1e-3")}


def numbers(text: str, what: str, kind: type = int) -> list:
    """Numbers with commas between them. Raises UserError for a part that is not a number."""
    values = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            values.append(kind(part))
        except ValueError:
            expected, example = EXPECTED[kind]
            raise UserError(
                f"{part!r} under {what} is not {expected}; write numbers with commas between them,"
                f" such as {example}."
            ) from None
    if not values:
        raise UserError(f"{what} is empty; write at least one number.")
    return values


def form_design(view: View) -> Design:
    """The design in the form. Raises UserError with one sentence for what cannot be used."""
    for chosen, what in ((view.design_targets, "target language"), (view.design_methods, "method")):
        if not chosen:
            raise UserError(f"No {what} is chosen; choose at least one.")
    rates = numbers(view.design_rates, "Learning rates", float)
    design = validated(
        {
            "name": view.design_name.strip() or "experiment",
            "model": view.model,
            "base": form_base(view),
            "task": view.task,
            "source": view.source,
            "targets": view.design_targets,
            "related": view.design_related,
            "methods": view.design_methods,
            "n": numbers(view.design_n, "Labelled examples"),
            "seeds": numbers(view.design_seeds, "Seeds"),
            "k": view.design_k,
            "settings": [form_setting(view, rates)],
            "pool": view.design_pool,
            "rows": view.design_rows or None,
            "keep_deltas": view.design_deltas,
            "hold": view.design_hold,
            "replay": view.design_replay or None,
            "share": view.design_share,
            "discovery": {name: getattr(view.scoring, name) for name in DISCOVERY},
        }
    )
    for rate in rates:
        if rates.count(rate) > 1:
            raise UserError(f"The learning rate {rate:g} is repeated; write each rate once.")
    return design


def form_base(view: View) -> str | None:
    """The model before its competence stage, if a method starts from it. Raises UserError if it is
    not known.
    """
    if "direct" not in view.design_methods:
        return None
    tuning = Tuning(target=view.source, what="direct", base=view.base.strip() or None)
    return base_model(view.subject, tuning)


def form_setting(view: View, rates: list[float]) -> dict:
    """The training setting in the form; of several learning rates, each method gets its best."""
    setting = {
        "name": f"{view.design_epochs} epoch{'' if view.design_epochs == 1 else 's'}",
        "epochs": view.design_epochs,
        "batch_size": view.design_batch,
        "weight_decay": view.design_decay,
    }
    if len(rates) == 1:
        return setting | {"learning_rate": rates[0]}
    return setting | {"learning_rates": rates, "choose": "valid"}


def form_fields(design: Design, view: View) -> dict:
    """The form's fields for a design. Raises UserError for a design that the form cannot show, or
    that belongs to another model or task.
    """
    setting = design.settings[0]
    rates = setting.learning_rates or [setting.learning_rate]
    fields = {
        "design_name": design.name,
        "design_methods": design.methods,
        "design_targets": design.targets,
        "design_related": design.related,
        "design_n": ", ".join(map(str, design.n)),
        "design_seeds": ", ".join(map(str, design.seeds)),
        "design_k": design.k,
        "design_epochs": int(setting.epochs),
        "design_rates": ", ".join(f"{rate:g}" for rate in rates),
        "design_batch": setting.batch_size,
        "design_decay": setting.weight_decay,
        "design_pool": design.pool,
        "design_rows": design.rows or 0,
        "design_deltas": design.keep_deltas,
        "design_hold": design.hold,
        "design_replay": design.replay or 0,
        "design_share": design.share,
    }
    check_same(design, form_design(replace(view, **fields)))
    return fields


def check_same(design: Design, shown: Design):
    """Raises UserError if the form, filled from a design, shows another one."""
    values, shown_values = design.model_dump(), shown.model_dump()
    for name, value in values.items():
        if name != "settings" and shown_values[name] != value:
            raise UserError(
                f"This design has {name} = {value!r}, and the form {shown_values[name]!r}: choose"
                " that on Setup or Relevance first, or start the file with `python -m ctsft"
                " experiment FILE`."
            )
    if unnamed(shown_values["settings"]) != unnamed(values["settings"]):
        raise UserError(
            "This design has settings that the form cannot show (several, or a learning rate for"
            " each method); start the file with `python -m ctsft experiment FILE`."
        )


def unnamed(settings: list[dict]) -> list[dict]:
    """Settings without their names."""
    return [setting | {"name": ""} for setting in settings]


def parse(text: str, name: str) -> Design:
    """A design from a file's text. Raises UserError if it is not a design."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"The file {name!r} is not valid JSON ({error}); use a file that *Save design* wrote."
        ) from None
    return validated(content, f"The file {name!r}")


def check_rows(design: Design, pool: Callable[[str], int]) -> Design:
    """The design itself. Raises UserError if a target has too few rows; `pool(target)`: the number
    of rows that the trials can draw from.
    """
    requested = max(design.n)
    for target in design.targets:
        available = pool(target)
        if requested <= available:
            continue
        message = f"{requested} labelled examples are requested, and"
        if design.pool == "B":
            raise UserError(
                f"{message} pool B of the train rows of {target} has {available}; request fewer, or"
                " draw from all rows."
            )
        raise UserError(f"{message} {target} has {available} train rows; request fewer.")
    return design


def save(design: Design) -> str:
    """Write the design to a file that a run can read; equal designs share a file."""
    text = design.model_dump_json(indent=1) + "\n"
    folder = home_folder("designs")
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    path = folder / f"{file_name(design)}-{digest}.json"
    write_text(path, text, "the design")
    return str(path)


def file_name(design: Design) -> str:
    return slug(design.name, "experiment")


def request(view: View, design: Design, path: str) -> ExperimentRequest:
    """The request of the experiment's run; `path`: the file of the design."""
    return ExperimentRequest(
        name=design.name,
        design=design,
        file=path,
        data_dir=view.data_dir or None,
        jobs=view.design_jobs,
    )


def start(view: View, design: Design) -> runs.Run:
    return own_runs.start(request(view, design, save(design)))


def measured(view: View) -> list[tuple[float, float]]:
    """(seconds, steps of tuning) of every finished tuning run of this model and task; measurements
    are counted as steps too (`Design.cost`).
    """
    durations = []
    for run in measured_runs(view):
        done = results.result(run)
        last = done["history"][-1]
        times = 1 if "cell" in done else len(done["history"])
        durations.append((last["seconds"], MEASURING * times + last["step"]))
    return durations


def measured_runs(view: View) -> list[runs.Run]:
    """The finished tuning runs of this model and task."""
    return [
        run
        for run, request in typed_runs("finetune")
        if (request.subject.model, request.subject.task) == (view.model, view.task)
        and results.result(run).get("history")
    ]


def seconds(design: Design, pace: Iterable[tuple[float, float]], at_once: int = 1) -> float | None:
    """The seconds that all trials will take, at the median pace of the measured runs; None without
    any.
    """
    each = [took / steps for took, steps in pace if steps]
    total = sum(map(design.cost, [*design.grid(), *design.trials({})]))
    return statistics.median(each) * total / at_once if each else None


def listed(view: View) -> list[runs.Run]:
    """Experiments on the view's model and task, newest first."""
    return [
        run
        for run, request in typed_runs("experiment")
        if (request.design.model, request.design.task) == (view.model, view.task)
    ]


def run_design(run: runs.Run) -> Design:
    """The design of an experiment's run."""
    return needed_request(run).design
