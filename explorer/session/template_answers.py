"""How many texts the model answers right with each template: discovery sets hold no others, so this
says which languages can be compared, and on how many texts.
"""

from collections import Counter

import streamlit as st

from ctsft.circuit.checks import TemplateChecks
from ctsft.circuit.template_effects import default_languages, pools_of
from ctsft.data.task import Task
from ctsft.data.templates import Template, template_tasks
from ctsft.model.evaluation import predict
from ctsft.model.model import Model
from explorer.session import binding, inputs, template_text

FEWEST = 2  # right answers of each label, for a language to be proposed

Right = dict[str, int]  # by language: the fewest right answers of a label with any template


def fewest(model: Model, task: Task, templates: tuple[Template, ...], pools: int) -> Right | None:
    """The fewest right answers of a label in any pool, with any template, by language; None for a
    model that is too large to be asked without a request.
    """
    if model.n_params > inputs.SMALL:
        return None
    view = binding.view()
    files = tuple(
        inputs.changed(view.task, view.data_dir, name, view.split)
        for name in having_rows(task, view.split)
    )
    texts = template_text.text_of(templates)
    rows = view.task, view.data_dir, view.split, files
    return _fewest(view.model, model.fingerprint, rows, texts, pools, templates)


def having_rows(task: Task, split: str) -> list[str]:
    return [name for name in task.languages if split in task.splits(name)]


@st.cache_data(show_spinner="Checking the answers ...", max_entries=32)
def _fewest(
    model: str,
    weights: str,
    rows: tuple[str, str, str, tuple],  # task, data folder, split, state of the files
    texts: str,
    pools: int,
    _templates: tuple[Template, ...],
) -> Right:
    task, split = inputs.load_task(*rows[:2]), rows[2]
    tasks = template_tasks(task, _templates)
    fewest_right = {}
    for language in having_rows(task, split):
        checks = TemplateChecks(_templates, (language,), pools)
        parts = pools_of(task, tasks, (language,), split, checks)
        fewest_right[language] = min(
            right_of_a_label(inputs.load_model(model), list(tasks.values())[number], part)
            for (number, _, _), part in parts.items()
        )
    return fewest_right


def right_of_a_label(model: Model, task: Task, rows: list) -> int:
    """The right answers of the label that has the fewest."""
    answers = predict(model, task, rows)
    pairs = zip(rows, answers, strict=True)
    right = Counter(row.label for row, answer in pairs if row.label == answer)
    return min(right.get(label, 0) for label in task.labels)


def proposed(task: Task, split: str, right: Right | None) -> tuple[list[str], int]:
    """The languages and the size of a discovery set at first: what the answers allow."""
    usual = list(default_languages(task, split))
    if right is None:
        return usual, TemplateChecks.size
    languages = [name for name in usual if right.get(name, 0) >= FEWEST] or usual[:1]
    return languages, min(TemplateChecks.size, most(task, languages, right))


def most(task: Task, languages: list[str] | tuple[str, ...], right: Right) -> int:
    """The largest discovery set that can be drawn in each of the languages; 2 at least."""
    return max(2, len(task.labels) * min(right.get(name, 0) for name in languages))


def problem(task: Task, checks: TemplateChecks, right: Right | None) -> str:
    """Why the discovery sets cannot be drawn, in a sentence; "" where they can, or nobody knows."""
    if right is None:
        return ""
    language = min(checks.languages, key=lambda name: right.get(name, 0))
    count = right.get(language, 0)
    if checks.size <= len(task.labels) * count:
        return ""
    return (
        f"With one of these templates the model answers only {count} texts of a label right in a"
        f" pool of {language}, too few for {checks.size} texts; choose fewer texts or pools, other"
        f" templates, or leave {language} out."
    )
