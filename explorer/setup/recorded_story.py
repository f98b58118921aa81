"""The first screen: what the recorded runs of the bundled model forgot, in two small panels and a
sentence. Nothing here imports torch.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import streamlit as st

from ctsft import runs
from ctsft.receipts.receipt import FILE, Receipt
from ctsft.runs import explorations, results
from ctsft.runs.answers import Answers, answers_of
from ctsft.runs.folder import file_stamp
from ctsft.runs.recorded_models import RecordedModel, recorded_models
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import read_json_file
from explorer.session import binding, recording
from explorer.setup import curve_panel
from explorer.setup.curve_panel import Panel, common_limits
from explorer.text import forgetting
from explorer.text.markdown import literal
from explorer.text.run_names import display_name, method_name
from explorer.widgets import receipt

EXPLORATION = "demo"  # of the recorded ones
INTERVAL = "bands: lowest to highest seed; the sentence: p of paired tests over the same rows"
METHODS = ("circuit", "near_zero", "random", "full", "full_held")  # in the order of the legend


@dataclass(frozen=True)
class RecordedRun:
    """What the story needs of a run. curves: {language: {step: accuracy}} on validation rows."""

    method: str
    seed: int
    summary: dict
    curves: dict[str, dict[int, float]]
    answers: dict[str, Answers]


@dataclass(frozen=True)
class Story:
    runs: tuple[RecordedRun, ...]

    @property
    def summary(self) -> dict:
        return self.runs[0].summary

    @property
    def source(self) -> str:
        return self.summary["source"]

    @property
    def target(self) -> str:
        return self.summary["target"]

    def by_method(self) -> dict[str, list[RecordedRun]]:
        by_method = {
            method: [run for run in self.runs if run.method == method] for method in METHODS
        }
        return {method: of for method, of in by_method.items() if of}


def read() -> Story | None:
    """None where there are no recorded runs, or they cannot be read."""
    return _read(explorations.RECORDED / EXPLORATION / "runs")


@lru_cache(maxsize=4)
def _read(folder: Path) -> Story | None:
    panels = []
    for run in runs.list_read_only("finetune"):
        summary = results.result(run)
        rows = results.evaluations(run)
        if run.path.parent != folder or not summary.get("config") or not rows:
            continue
        held = "_held" if summary["config"].get("hold") else ""
        curves = {
            language: {row["step"]: row["accuracy"][language] for row in rows}
            for language in (summary["source"], summary["target"])
        }
        panels.append(
            RecordedRun(
                f"{summary['what']}{held}",
                summary["config"]["seed"],
                summary,
                curves,
                answers_of(run),
            )
        )
    return Story(tuple(panels)) if panels else None


def draw(story: Story):
    with receipt.covered("story", receipts(), INTERVAL):
        draw_story(story)


def receipts() -> list[Receipt]:
    """Of the recorded runs, from the file beside them; none where it cannot be read."""
    path = explorations.RECORDED / EXPLORATION / FILE
    return list(_receipts(path, file_stamp(path)))


@lru_cache(maxsize=4)
def _receipts(path: Path, stamped: tuple | None) -> tuple[Receipt, ...]:
    try:
        stored = read_json_file(path, "The receipts", "record the runs again")
        receipts = [Receipt.model_validate(one) for one in stored.values()]
    except (UserError, ValueError, AttributeError):
        return ()
    return tuple(one for one in receipts if " finetune " in one.command)


def draw_story(story: Story):
    seeds = len({run.seed for run in story.runs})
    source, target = display_name(story.source), display_name(story.target)
    st.markdown(
        f"A small model that judges {source} reviews learns {target} from"
        f" {story.summary['n']} texts.  \n"
        f"Gains (right) may cost what it knew (left).  \n"
        f"Each colour trains other parameters: mean and range, {seeds} recorded seeds."
    )
    names = {method: method_name(method) for method in METHODS}
    languages = {"source": story.source, "target": story.target}
    panels = {
        role: {
            method: [run.curves[language] for run in of] for method, of in story.by_method().items()
        }
        for role, language in languages.items()
    }
    limits = common_limits(list(panels.values()))
    curve_panel.draw(
        [
            Panel(f"{display_name(language)} ({role})", role, panels[role], names, limits)
            for role, language in languages.items()
        ]
    )
    said = sentence(story)
    if said:
        st.markdown(said, help=forgetting.HELP)


def sentence(story: Story) -> str:
    """ "" where the runs lack answers to the same rows."""
    answers = {
        method: {run.seed: run.answers[story.source] for run in of if story.source in run.answers}
        for method, of in story.by_method().items()
    }
    measured = forgetting.measure(story.source, answers)
    return forgetting.sentence(measured) if measured else ""


def next_steps(story: Story, primary: bool):
    with st.container(horizontal=True):
        do_it_yourself(story, primary)
        for recorded in recorded_models().values():
            real_model(recorded)


def real_model(recorded: RecordedModel):
    """The way to a recorded exploration of a real pretrained model."""
    if st.button(
        f"Explore a real model: {literal(recorded.title)}",
        type="primary" if recording.current() == recorded else "secondary",
        icon=":material/inventory_2:",
        key=f"explore-{recorded.name}",
        help=(
            f"Recorded scores and runs of a pretrained model ({recorded.licence}): no download, no"
            " weights, nothing is computed."
        ),
    ):
        binding.put(model=recorded.name, model_kind="recorded")
        recording.use_settings(recorded)
        st.switch_page("relevance/page.py")


def do_it_yourself(story: Story, primary: bool):
    if st.button(
        "Do it yourself",
        type="primary" if primary else "secondary",
        icon=":material/play_arrow:",
        help=(
            "Scores the heads of the bundled model and opens Relevance; Fine-tune then has the"
            " settings of these runs."
        ),
    ):
        choose_settings(story)
        from explorer.session import start_runs  # torch

        start_runs.ensure_score(binding.view())
        st.switch_page("relevance/page.py")


def choose_settings(story: Story):
    """The bundled model and task, and the settings of the recorded runs."""
    summary, config = story.summary, story.summary["config"]
    heads = [run.summary["heads"] for run in story.runs if run.summary.get("heads")]
    binding.put(
        model="demo",
        model_kind="bundled",
        task="demo",
        task_kind="demo",
        data_dir="",
        source=story.source,
        target=story.target,
        n=summary["n"],
        epochs=round(config["epochs"]),
        lr=config["learning_rate"],
        batch=config["batch_size"],
        tune_seed=min(run.seed for run in story.runs),
        what="circuit",
        rule="top",
        k=heads[0] if heads else binding.view().k,
    )
    binding.forget_circuit()
