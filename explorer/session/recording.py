"""A model that was recorded without its weights: the settings of its recording, and why nothing new
can be computed with it.
"""

from ctsft.runs.explorations import LABEL
from ctsft.runs.recorded_models import RecordedModel, recorded_model
from explorer.session import binding, recent
from explorer.session.page_choices import FROM
from explorer.session.view import View

SETTINGS = ("pool_seed", "method", "attention", "rules", "positions", "split")


def current() -> RecordedModel | None:
    """The description of the view's model where its weights are not here."""
    return recorded_model(binding.view().model)


def why_not() -> str:
    """Why nothing new can be computed with the view's model; "" where it can."""
    recorded = current()
    return recorded.why_not if recorded else ""


def settings(recorded: RecordedModel) -> dict:
    """The view's fields: the task, the languages and the examples that the heads were scored on."""
    defaults = View()
    return {
        "task": recorded.task,
        **recent.task_fields(recorded.task),
        "data_dir": "",
        "source": recorded.source,
        "target": recorded.target,
        "size": recorded.size,
        **{name: getattr(defaults, name) for name in SETTINGS},
    }


def compared(recorded: RecordedModel) -> dict:
    """The view's fields with which Compare shows the recorded runs."""
    return {
        "compare_scope": f"{FROM}{LABEL}",
        "compare_model": recorded.name,
        "compare_task": recorded.task,
        "compare_target": recorded.target,
        "compare_seeds": True,
    }


def use_settings(recorded: RecordedModel):
    """Shows what was recorded."""
    binding.put(**settings(recorded), **compared(recorded))
    binding.forget_circuit()
