"""A link that opens the same model, task, scores, circuit and page in another session: given out on
a page, and read when it is opened.

A link is data: it can name only models, tasks and folders that were opened here before, so opening
one fetches and runs nothing new. What it may not say is told in one sentence, and the rest of it
counts.
"""

from dataclasses import replace
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from ctsft import runs
from ctsft.circuit.circuit import Circuit
from ctsft.utils.errors import UserError
from explorer.session import binding, inputs, link_format, recent, score_runs
from explorer.session.view import View
from explorer.text import circuit_words
from explorer.text.markdown import literal

BUNDLED = ("demo", "demo-base")

PANELS = {
    "panel": ("By label", "Means", "Distribution", "One example"),
    "circuit_panel": ("Is it enough?", "Kept circuits", "Overlap", "Discovery"),
}


def header(title: str, means: str = ""):
    """A page's header, with the link to what this session shows at its right."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(title, help=means or None)
        with st.container(width="content"):
            copy()


def copy():
    with st.popover("Copy link", icon=":material/link:"):
        st.code(address(), language=None, wrap_lines=True)
        st.caption(
            "Opens this page with the same model, task, settings of the scores, circuit and head,"
            " in any session of this explorer. Models and folders that were never opened here are"
            " left out."
        )


def address() -> str:
    """This page's own address with the view in its query."""
    query, here = urlencode(link_format.written(binding.view())), urlsplit(st.context.url or "")
    return urlunsplit((here.scheme, here.netloc, here.path, query, ""))


def read():
    """Take over the link that this session was opened with, once; what could not be is told until
    it is closed.
    """
    given = {
        word: text for word, text in st.query_params.to_dict().items() if isinstance(text, str)
    }
    if given:
        st.query_params.clear()
        wrong = take(given)
        st.session_state.link_told = (
            f"The link was opened without {'; '.join(wrong)}." if wrong else ""
        )
    if st.session_state.get("link_told"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(literal(st.session_state.link_told), icon=":material/link_off:")
            st.button("Close", on_click=st.session_state.pop, args=("link_told",))


def take(given: dict[str, str]) -> list[str]:
    """Set the view to what a link says, and everything that it does not say to the defaults; what
    was wrong with it.
    """
    found, wrong = link_format.read(
        given, PANELS | {"rule": (*circuit_words.RULES, *circuit_words.DISCOVERED)}
    )
    binding.forget_circuit()
    fresh = View()
    binding.put(**{field: getattr(fresh, field) for field, *_ in link_format.FIELDS.values()})
    refused = opened(given, wrong)
    if refused:  # its heads are another model's
        found = {
            field: value
            for field, value in found.items()
            if field not in ("head", "added", "removed")
        }
    wrong += unlike(found)
    try:
        model = inputs.load_model(binding.view().model)
        wrong += link_format.beyond(found, model.n_layers, model.n_heads)
        if found.get("rule") == "discover":
            found["discovered"] = discovered(given.get("found", "")).check(model)
    except UserError as error:
        wrong.append(f"its circuit ({str(error).rstrip('.')})")
        found = {
            field: value
            for field, value in found.items()
            if field not in ("head", "added", "removed", "rule")
        }
    binding.put(**found)
    return wrong


def opened(given: dict[str, str], wrong: list[str]) -> bool:
    """Model, task and data folder, where they were opened here before; whether the model was
    refused.
    """
    subjects = [run.request.params.get("subject") or {} for run in runs.list_runs()]
    model, task, folder = (
        given.get("model", "demo"),
        given.get("task", "demo"),
        given.get("data", ""),
    )
    refused = model not in (
        *BUNDLED,
        *recent.listed("models"),
        *(subject.get("model") for subject in subjects),
    )
    if refused:
        wrong.append(
            f"its model {model!r:.90} and that model's heads: it was never opened here (open it on"
            " Setup, then open the link again)"
        )
    else:
        binding.put(model=model, **recent.model_fields(model))
    if task not in (
        *recent.BUILT_IN,
        *recent.listed("tasks"),
        *(subject.get("task") for subject in subjects),
    ):
        wrong.append(
            f"its task {task!r:.90}, which was never opened here (open it on Setup, then open the"
            " link again)"
        )
        return refused
    binding.put(task=task, data_dir="", **recent.task_fields(task))
    if folder and folder in [
        subject.get("data_dir") for subject in subjects if subject.get("task") == task
    ]:
        binding.put(data_dir=folder)
    elif folder:
        wrong.append(
            f"its data folder {folder!r:.90}, which was never read here (name it on Setup, then"
            " open the link again)"
        )
    return refused


def unlike(found: dict) -> list[str]:
    """Takes what does not fit the task out of `found`, and names it; the task's own languages stand
    where a link names none.
    """
    try:
        task = inputs.load_task(binding.view().task, binding.view().data_dir)
    except UserError:
        return []  # the page tells why
    if binding.view().task != "demo":
        binding.put(source=task.source, target=(*task.targets, task.source)[0])
    told = [
        f"its {field} language {found.pop(field)!r:.40} (the task has {', '.join(task.languages)})"
        for field in ("source", "target")
        if found.get(field, task.source) not in task.languages
    ]
    least = {"size": len(task.labels), "example": 0}
    most = {"size": 2000, "example": max(found.get("size", View.size), len(task.labels)) - 1}
    return told + [
        f"{field} {found.pop(field)} ({least[field]} to {most[field]})"
        for field in least
        if not least[field] <= found.get(field, least[field]) <= most[field]
    ]


def discovered(run_id: str) -> Circuit:
    """What a discovery of that name found. UserError when it is not there."""
    run = runs.get(run_id)
    circuit = score_runs.circuit_of(run) if run.request.kind == "discover" else None
    if circuit is None:
        raise UserError(f"the run {run_id!r:.60} holds no discovered circuit")
    return replace(circuit, rule=circuit.rule | {"run": run_id})
