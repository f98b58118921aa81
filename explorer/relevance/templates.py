"""Circuits over prompt templates on Relevance: the templates as text or as a file, their comparison
as a run, and what head maps depend on as one figure.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.variants import DEFAULT_VARIANTS, VARIANTS
from ctsft.circuit import template_report
from ctsft.circuit.checks import TemplateChecks
from ctsft.circuit.template_effects import default_languages
from ctsft.data.task import Task
from ctsft.data.templates import Template
from ctsft.jobs.requests import needed_request
from ctsft.model.model import Model
from ctsft.plots.template_effects import template_chart
from ctsft.runs import results
from ctsft.utils.errors import UserError
from explorer.session import (
    binding,
    errors,
    score_runs,
    start_runs,
    template_answers,
    template_text,
)
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal_sentence
from explorer.widgets import chart, cost_estimate, messages, recorded_notice, run_progress
from explorer.widgets.run_receipts import covered_by

MESSAGE = "templates_message"
TEXT, FILE = "templates_text", "templates_file"  # keys of widgets
FORMAT = (
    "A JSON list of 3 to 50 templates. Each has a `name`, and a `prompt` or other words for"
    ' `labels`, such as `{"name": "short", "prompt": "{text} It was", "labels": {"positive":'
    ' "good"}}`. What a template does not say is that of the task. A label is one token.'
)

ENDS = {
    "low": st.column_config.NumberColumn(help="Lower end of the 95 % interval."),
    "high": st.column_config.NumberColumn(help="Upper end of the 95 % interval."),
}
SHARE_COLUMNS = {
    "share (%)": st.column_config.NumberColumn(format="%.1f", help=TERMS["template shares"]),
    **ENDS,
}
OVERLAP_COLUMNS = {
    "Jaccard": st.column_config.NumberColumn(format="%.2f", help=TERMS["jaccard"]),
    "minus chance": st.column_config.NumberColumn(
        format="%.2f", help="Minus the Jaccard index of two random sets of as many heads."
    ),
    "texts in common": st.column_config.NumberColumn(
        format="%.2f",
        help="Jaccard index of both discovery sets: the texts that the model answers correctly.",
    ),
    "pairs": st.column_config.NumberColumn(help="Pairs of maps."),
    **ENDS,
}


def draw(model: Model, task: Task):
    st.caption(
        "Does a circuit belong to the task, or to the prompt it was found with? The heads are"
        " scored again with other prompts and label words, in each language and on other texts.",
        help=TERMS["template shares"],
    )
    run = score_runs.find_run(
        "validate",
        lambda request: request.subject == binding.view().subject and request.templates.templates,
    )
    active = run is not None and run.status().active
    if active:
        run_progress.watch(run, savable=not needed_request(run).only_templates)
    elif run:
        run_progress.ended(run)
    report = (results.result(run) or {}).get("templates") if run else None
    if report:
        with covered_by("templates", run):
            show(report)
    if active:
        return
    if not report:
        start_form(model, task, run)
        return
    with st.expander("Compare other templates"):
        start_form(model, task, run)


def start_form(model: Model, task: Task, run: runs.Run | None):
    """The templates, how they are compared, what that costs, and the start."""
    if recorded_notice.draw():
        return
    view = binding.view()
    name = template_text.file_name(view.task, view.data_dir)
    earlier = needed_request(run).templates if run else TemplateChecks()
    text = template_input(task, name, earlier)
    if run and run.status().state != "done":
        earlier = TemplateChecks()  # its settings may be why it failed
    checks = None
    with errors.sentences(stop=False):
        templates = template_text.read(name, text, task, model)
        checks = settings(model, task, templates, earlier)
        cost_estimate.of_templates(checks)
    if st.button(
        "Compare the templates",
        icon=":material/translate:",
        disabled=checks is None,
        help="Scores the heads once for each template, language, pool of texts and seed.",
    ):
        with errors.sentences(stop=False):
            file = template_text.save_copy(name, text)
            start_runs.start_templates(view, checks, str(file))
            st.rerun()


def template_input(task: Task, name: str, earlier: TemplateChecks) -> str:
    """The text of the templates: what was edited last, those of the run, or an example."""
    key = f"{TEXT}_{name}"
    if key not in st.session_state:
        known = template_text.text_of(earlier.templates) if earlier.templates else ""
        st.session_state[key] = template_text.stored(name) or known or template_text.example(task)
    text = st.text_area(
        "Templates", key=key, height=155, help=FORMAT, on_change=store, args=(key, name)
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Example",
            type="tertiary",
            icon=":material/lightbulb:",
            on_click=put,
            args=(key, name, template_text.example(task)),
            help="Replaces the text by three templates that fit this task.",
        )
        with st.popover("Upload a file", icon=":material/upload_file:", width="content"):
            st.file_uploader(
                "Templates (JSON)", type="json", key=FILE, on_change=load, args=(key, name)
            )
    messages.show(MESSAGE)
    return text


def store(key: str, name: str):
    """A callback: what was edited outlives a reload."""
    with messages.errors_as(MESSAGE):
        template_text.save(name, st.session_state[key])


def load(key: str, name: str):
    """A callback: the text of the uploaded file."""
    file = st.session_state[FILE]
    if file is not None:
        with messages.errors_as(MESSAGE):
            put(key, name, template_text.uploaded(file.name, file.getvalue()))


def put(key: str, name: str, text: str):
    with messages.errors_as(MESSAGE):
        template_text.save(name, text)
        st.session_state[key] = text


def settings(
    model: Model, task: Task, templates: tuple[Template, ...], earlier: TemplateChecks
) -> TemplateChecks:
    """How the templates are compared: at first as in the run before, or as the answers allow.
    UserError where discovery sets cannot be drawn.
    """
    split = binding.view().split
    having = template_answers.having_rows(task, split)
    with st.expander("Languages, pools and ranking"):
        top, left, right = st.container(), *st.columns(2)
        method = left.selectbox(
            "Ranking",
            DEFAULT_VARIANTS,
            DEFAULT_VARIANTS.index(earlier.method) if earlier.method in DEFAULT_VARIANTS else 0,
            format_func=lambda name: VARIANTS[name].label,
            help="How heads are scored. Attribution patching is the quickest.",
        )
        pools = left.number_input(
            "Pools of texts", 1, 50, earlier.pools, help="Parts of the rows without a common text."
        )
        answered = template_answers.fewest(model, task, templates, pools)
        languages, size = template_answers.proposed(task, split, answered)
        if earlier.templates:
            languages = [name for name in earlier.languages if name in having] or languages
            size = earlier.size
        languages = top.multiselect(
            "Languages",
            having,
            languages,
            help="Translations of the same texts, known by the same ids; none: the first three.",
        )
        size = right.number_input(
            "Texts of a discovery set", 2, 2000, size, help=TERMS["discovery set"]
        )
        seeds = right.number_input(
            "Seeds", 1, 50, earlier.seeds, help="Discovery sets that are drawn from each pool."
        )
    chosen = tuple(languages) or default_languages(task, split)
    checks = TemplateChecks(templates, chosen, pools, seeds, method, size)
    problem = template_answers.problem(task, checks, answered)
    if problem:
        raise UserError(problem)
    return checks


def show(report: dict):
    """What head maps depend on: one figure, and both tables."""
    sentence = template_report.finding(report)
    if sentence:
        st.markdown(sentence)
    chart.show(template_chart(report), "template_effects")
    st.caption(literal_sentence(f"{template_report.setting(report)}."))
    with st.expander("Tables"):
        st.dataframe(
            template_report.share_rows(report),
            hide_index=True,
            column_config=SHARE_COLUMNS,
            alt="Shares of the variance of head scores.",
        )
        st.dataframe(
            template_report.overlap_rows(report),
            hide_index=True,
            column_config=OVERLAP_COLUMNS,
            alt="Overlap of the first heads of two maps, by what they differ in.",
        )
