"""lm-evaluation-harness on an exported model: benchmarks of others as a check of general ability.

The harness (EleutherAI, `lm_eval`) is an optional extra: `pip install "ctsft[lm-eval]"`. It loads
the folder with plain transformers and fetches the data of its own tasks from the hub; a task file
of the harness (.yaml) may name data of this machine.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ctsft.model.device import best_device
from ctsft.utils.errors import UserError, quoted

FILE = "lm_eval.json"  # beside the exported model


def check_harness(form: str = "model"):
    """UserError where the harness is not installed, or the export is no model that it can load."""
    if form != "model":
        raise UserError(
            f"lm-evaluation-harness loads merged models, and the format is {quoted(form)}; leave"
            " --format out."
        )
    if find_spec("lm_eval") is None:
        raise UserError(
            "lm-evaluation-harness is not installed; install it with `pip install"
            ' "ctsft[lm-eval]"`, or leave --lm-eval out.'
        )


def run_harness(folder: Path, tasks: list[str]) -> dict[str, dict[str, float]]:
    """{task: {metric: its value}} of the model in a folder, as the harness names them; a task is a
    name, or the path of a task file (.yaml). UserError where the harness is not installed, knows no
    such task, or fails.
    """
    check_harness()
    if not tasks:
        raise UserError("Name tasks of lm-evaluation-harness, such as hellaswag,arc_easy.")
    try:
        measured = import_module("lm_eval").simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder)},
            tasks=tasks,
            device=best_device(),  # the harness itself takes a GPU where torch has none
            log_samples=False,
        )
    except Exception as error:  # of the harness, its tasks and their data
        raise UserError(
            f"lm-evaluation-harness could not evaluate {quoted(','.join(tasks))}"
            f" ({type(error).__name__}: {quoted(str(error), 200)}); check the names with `lm_eval"
            " ls tasks`, the task file and its data, and the network."
        ) from None
    return {
        task: {
            name: value
            for name, value in of.items()
            if "," in name and isinstance(value, int | float)  # "acc,none"; an error may be "N/A"
        }
        for task, of in measured["results"].items()
    }


def harness_text(measured: dict[str, dict[str, float]]) -> str:
    """A line for each task and metric."""
    return "\n".join(
        f"{task:24} {name:28} {value:.4f}"
        for task, metrics in measured.items()
        for name, value in metrics.items()
    )
