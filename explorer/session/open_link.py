"""Opening a link: the session's view becomes the one that the link describes.

A link can name only models, tasks and data folders that were opened on this machine before, so that
opening one downloads and runs nothing new. Each part of a link that cannot be used is reported in a
few words, and the other parts still count.
"""

from collections.abc import Mapping
from dataclasses import replace

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.jobs.requests import Subject, SubjectRequest, request_of
from ctsft.runs.recorded_models import recorded_models
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs, link_format, recent, recording, score_runs
from explorer.session.view import View

BUNDLED = ("demo", "demo-base")
HEAD_FIELDS = ("head", "added", "removed")  # they belong to one model
TRY_AGAIN = "(open it on Setup, then open the link again)"


def apply(query: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Set the view to what a link says, and everything that it does not say to the defaults, or to
    the settings that a recorded model was scored with; returns what cannot be used.

    `choices`: the values of fields that may be one of a few texts.
    """
    fields, problems = link_format.read(query, choices)
    default, entries = View(), link_format.FIELDS.values()
    binding.forget_circuit()
    binding.put(**{entry.field: getattr(default, entry.field) for entry in entries})
    subjects = earlier_subjects()
    model_problems = open_model(query.get("model", "demo"), subjects)
    if model_problems:
        fields = without(fields, *HEAD_FIELDS)
    problems += model_problems
    recorded = recorded_settings(query, fields)
    task = query.get("task", recorded.get("task", "demo"))
    scored = [Subject(binding.view().model, task)] if recorded else []
    problems += open_task(task, query.get("data", ""), [*subjects, *scored])
    fields, task_problems = within_task(recorded | fields)
    fields, circuit_problems = within_model(fields, query.get(link_format.DISCOVERY_RUN, ""))
    binding.put(**fields)
    return [*problems, *task_problems, *circuit_problems]


def recorded_settings(query: Mapping[str, str], fields: Mapping) -> dict:
    """Of the view's model where it was recorded with the link's task: a link need not name them,
    since nothing else can be shown. Compare shows the recorded runs unless it names some of them.
    """
    recorded = recording.current()
    if recorded is None or query.get("task", recorded.task) != recorded.task or "data" in query:
        return {}
    settings = recording.settings(recorded)
    named = "task" in query or any(name in fields for name in settings)
    return settings if named else settings | recording.compared(recorded)


def without(fields: Mapping, *names: str) -> dict:
    return {name: value for name, value in fields.items() if name not in names}


def earlier_subjects() -> list[Subject]:
    """Model, task and data folder of every run on this machine."""
    requests = [request_of(run) for run in runs.list_runs()]
    return [request.subject for request in requests if isinstance(request, SubjectRequest)]


def open_model(model: str, subjects: list[Subject]) -> list[str]:
    earlier = {subject.model for subject in subjects}
    if model not in (*BUNDLED, *recorded_models(), *recent.listed("models"), *earlier):
        return [
            f"its model {model!r:.90} and the heads of that model, which was never opened here"
            f" {TRY_AGAIN}"
        ]
    binding.put(model=model, **recent.model_fields(model))
    return []


def open_task(task: str, folder: str, subjects: list[Subject]) -> list[str]:
    earlier = {subject.task for subject in subjects}
    if task not in (*recent.BUILT_IN, *recent.listed("tasks"), *earlier):
        return [f"its task {task!r:.90}, which was never opened here {TRY_AGAIN}"]
    binding.put(task=task, data_dir="", **recent.task_fields(task))
    folders = [subject.data_dir for subject in subjects if subject.task == task]
    if folder and folder not in folders:
        return [
            f"its data folder {folder!r:.90}, which was never read here (enter it on Setup, then"
            " open the link again)"
        ]
    binding.put(data_dir=folder)
    return []


def within_task(fields: Mapping) -> tuple[dict, list[str]]:
    """The fields that fit the view's task, and what is wrong with the others; the languages of the
    task are the defaults.
    """
    try:
        task = inputs.load_task(binding.view().task, binding.view().data_dir)
    except UserError:
        return dict(fields), []  # the page reports it
    if binding.view().task != "demo":
        binding.put(source=task.source, target=(*task.targets, task.source)[0])
    problems = {
        field: f"its {field} language {fields[field]!r:.40} (the task has"
        f" {', '.join(task.languages)})"
        for field in ("source", "target")
        if fields.get(field, task.source) not in task.languages
    }
    smallest = len(task.labels)
    limits = {
        "size": (smallest, 2000),
        "example": (0, max(fields.get("size", View.size), smallest) - 1),
    }
    for field, (low, high) in limits.items():
        if not low <= fields.get(field, low) <= high:
            problems[field] = f"{field} {fields[field]} ({low} to {high})"
    return without(fields, *problems), list(problems.values())


def within_model(fields: Mapping, discovery_run: str) -> tuple[dict, list[str]]:
    """The fields that fit the view's model, with the discovered circuit where the rule needs one,
    and what is wrong with the others.
    """
    problems = []
    try:
        model = inputs.load_model(binding.view().model)
        fields, problems = link_format.within_model(fields, model.n_layers, model.n_heads)
        if fields.get("rule") == "discover":
            fields["discovered"] = discovered_circuit(discovery_run).check(model)
    except UserError as error:
        problems = [*problems, f"its circuit ({str(error).rstrip('.')})"]
        fields = without(fields, *HEAD_FIELDS, "rule")
    return fields, problems


def discovered_circuit(run_id: str) -> Circuit:
    """The circuit of a discovery run. Raises UserError if there is none."""
    run = runs.get(run_id)
    circuit = score_runs.circuit_of(run) if run.request.kind == "discover" else None
    if circuit is None:
        raise UserError(f"the run {run_id!r:.60} holds no discovered circuit")
    return replace(circuit, rule=circuit.rule | {"run": run_id})
