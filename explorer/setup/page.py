"""Setup: which model, which task, which languages; and whether the model knows the source language
well enough to look into it.
"""

from pathlib import Path

import streamlit as st

from ctsft.data.sources import SPLITS
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.utils.errors import UserError
from ctsft.utils.right_to_left import isolate
from explorer.session import binding, errors, inputs, recent, start_runs
from explorer.session.data_facts import pieces, spread
from explorer.setup import accuracy, data_preview
from explorer.setup import own_tables as setup_own_tables
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal, short
from explorer.widgets import cost_estimate

MODELS = {"bundled": "Bundled", "hub": "Hub name", "folder": "Local folder"}

TASKS = {
    "demo": "Demo sentiment",
    "nusax": "NusaX sentiment",
    "xnli": "XNLI inference",
    "file": "Own task file",
    "own": "Own tables",
}


def page():
    st.header("Setup")
    st.write(
        "Choose a model, a task and two languages: the **source** language, which the model knows,"
        " and the **target** language, which it is to learn. Then score the heads, to see which of"
        " them carry the task."
    )
    left, right = st.columns(2, gap="large")
    with left:
        choose_model()
    with right:
        choose_task()
    if binding.view().task_kind == "own":
        with st.container(border=True):
            own_tables()
    task = model = None
    with errors.sentences(stop=False):
        task = inputs.load_task(binding.view().task, binding.view().data_dir)
        choose_languages(task)
    with errors.sentences(stop=False):
        model = inputs.load_model(binding.view().model)
    ready = False
    if model:
        show_model(model)
    if model and task:
        with errors.sentences(stop=False):
            task.label_ids(model)
            accuracy.draw(model, task)
            inputs.load_rows(
                binding.view().task,
                binding.view().data_dir,
                binding.view().source,
                binding.view().split,
            )
            ready = True
        recent.remember("models", binding.view().model)
        recent.remember("tasks", binding.view().task)
    if ready:
        cost_estimate.draw(binding.view().scoring, "Scoring")
    if st.button(
        "Score heads",
        type="primary",
        disabled=not ready,
        help=(
            "Scores every attention head on examples that the model gets right (CD-T), and shows"
            " them on the next page."
        ),
    ):
        start_runs.ensure_score(binding.view())
        st.switch_page("relevance/page.py")
    if task:
        with errors.sentences(stop=False):
            data_preview.draw(task, model)
    if ready:
        with errors.sentences(stop=False):
            show_prompt(model, task)
    st.page_link(
        "relevance/page.py",
        label="Next: see which heads carry the task",
        icon=":material/arrow_forward:",
    )


def choose_model():
    now = binding.view()
    st.radio(
        "Model",
        list(MODELS),
        format_func=MODELS.get,
        horizontal=True,
        **binding.bind("model_kind", take_model),
        help=(
            "A causal language model, such as GPT-2, Llama, Mistral, Qwen, Gemma, Phi or OLMo, or"
            " an encoder, such as BERT, with a classification head; another type is refused by"
            " name. The bundled one is small and needs no network."
        ),
    )
    if now.model_kind == "hub":
        st.text_input(
            "Name on the Hugging Face hub",
            placeholder="Qwen/Qwen2.5-0.5B",
            **binding.bind("hub", take_model),
        )
    if now.model_kind == "folder":
        st.text_input(
            "Folder",
            placeholder="/path/to/model",
            **binding.bind("folder", take_model),
            help=(
                "A Hugging Face folder with config.json, tokenizer files and *.safetensors. Pickled"
                " weights are refused: they can run code when they are read."
            ),
        )
    again("models", "Recent models", open_model)
    if now.model != wanted_model():
        st.info(
            f"Nothing is named yet; {literal(now.model)} stays in force.", icon=":material/edit:"
        )


def wanted_model() -> str:
    now = binding.view()
    return {
        "bundled": "demo",
        "hub": now.hub.strip(),
        "folder": now.folder.strip() and str(Path(now.folder.strip()).expanduser()),
    }[now.model_kind]


def take_model():
    wanted = wanted_model()
    if wanted and wanted != binding.view().model:
        binding.put(model=wanted)
        binding.forget_circuit()


def choose_task():
    now = binding.view()
    st.radio(
        "Task",
        list(TASKS),
        format_func=TASKS.get,
        horizontal=True,
        **binding.bind("task_kind", take_task),
        help=(
            "Demo: 300 short sentences in four parallel languages, bundled. NusaX and XNLI are"
            " fetched, or read from a data folder."
        ),
    )
    if now.task_kind == "file":
        st.text_input(
            "Task file",
            placeholder="/path/to/task.json",
            **binding.bind("task_file", take_task),
            help=(
                "JSON with name, prompt, labels, source, targets and files or hub; see the README."
            ),
        )
    again("tasks", "Recent tasks", open_task)
    if now.task_kind == "own":
        st.info(
            f"Drop your tables below; {literal(now.task)} stays in force until you use them.",
            icon=":material/edit:",
        )
        return
    if now.task != wanted_task():
        st.info(
            f"Nothing is named yet; {literal(now.task)} stays in force.", icon=":material/edit:"
        )
    st.text_input(
        "Data folder (optional)",
        placeholder="bundled or fetched",
        **binding.bind("data_dir", take_data),
        help=(
            "A folder with the task's files, one for each language and split, such as"
            " javanese/train.csv."
        ),
    )


def again(kind: str, title: str, then):
    """What was opened before, in this session or another."""
    names = recent.listed(kind)
    if len(names) > 1:

        def chosen():
            if st.session_state[f"recent_{kind}"]:
                then(st.session_state.pop(f"recent_{kind}"))

        st.selectbox(
            title,
            names,
            index=None,
            placeholder="open one again",
            key=f"recent_{kind}",
            on_change=chosen,
        )


def open_model(name: str):
    binding.put(**recent.model_fields(name))
    take_model()


def open_task(name: str):
    binding.put(**recent.task_fields(name))
    take_task()


def own_tables():
    model = None
    with errors.sentences(stop=False):
        model = inputs.load_model(binding.view().model)

    def use(path: str):
        binding.put(data_dir="", split="train")
        open_task(path)

    setup_own_tables.draw(model, use)


def wanted_task() -> str:
    now = binding.view()
    if now.task_kind == "own":
        return ""
    return (
        now.task_file.strip() and str(Path(now.task_file.strip()).expanduser())
        if now.task_kind == "file"
        else now.task_kind
    )


def take_task():
    wanted = wanted_task()
    if wanted and wanted != binding.view().task:
        binding.put(task=wanted)
        take_data()
        first_languages()


def take_data():
    binding.put(data_dir=binding.view().data_dir.strip())
    binding.forget_circuit()


def first_languages():
    """The task's own source and its first target; a task that cannot be read is told of when it is
    drawn.
    """
    try:
        task = inputs.load_task(binding.view().task, binding.view().data_dir)
    except UserError:
        return
    binding.put(source=task.source, target=(*task.targets, task.source)[0])


def choose_languages(task: Task):
    now = binding.view()
    if now.source not in task.languages or now.target not in task.languages:
        # the task file was another one when they were chosen
        first_languages()
    others = [language for language in task.languages if language != now.source] or [now.source]
    if now.target not in others:
        binding.put(target=others[0])
    source, target, split = st.columns(3)
    source.selectbox(
        ":blue[●] Source language",
        task.languages,
        **binding.bind("source", binding.forget_circuit),
        help=TERMS["source"],
    )
    target.selectbox(
        ":orange[●] Target language", others, **binding.bind("target"), help=TERMS["target"]
    )
    split.selectbox(
        "Rows to find heads with",
        SPLITS,
        **binding.bind("split"),
        help="The split that the discovery set is drawn from. " + TERMS["discovery set"],
    )


def show_model(model: Model):
    a, b, c, d = st.columns(4)
    a.metric(
        "Heads",
        f"{model.n_layers * model.n_heads}",
        help=f"{model.n_layers} layers of {model.n_heads} attention heads.",
    )
    a.caption(f"{model.n_layers} layers × {model.n_heads}")
    b.metric("Key/value groups", f"{model.n_kv_heads}", help=TERMS["kv"])
    size = model.n_heads // model.n_kv_heads
    b.caption("a layer; one head each" if size == 1 else f"a layer; {size} heads each")
    c.metric(
        "Parameters",
        short(model.n_params),
        help=f"Numbers that the model has learned: {model.n_params:,}.",
    )
    c.caption(f"type {model.model_type}")
    d.metric(
        "Device",
        str(model.device),
        help="Where the model computes, and below in which number format.",
    )
    d.caption(str(model.dtype).removeprefix("torch."))


def show_prompt(model: Model, task: Task):
    now = binding.view()
    st.subheader("What the model reads", help=TERMS["tokens"])
    rows = {
        row.id: row
        for row in spread(
            inputs.load_rows(now.task, now.data_dir, now.source, now.split), task.labels, 30
        )
    }
    chosen = st.selectbox(
        "Row",
        list(rows),
        key="prompt_row",
        help="A row of the source language.",
        format_func=lambda one: (
            f"{one} · {isolate(rows[one].label)} · {isolate(rows[one].text[:90])}"
        ),
    )
    if chosen not in rows:
        return
    tokens = pieces(model, task, rows[chosen])
    st.code("│".join(tokens), language=None, wrap_lines=True)
    labels = ", ".join(
        f"“ {label}” (token {token})" for label, token in task.label_ids(model).items()
    )
    st.caption(
        f"{len(tokens)} tokens, parted by │. The answer is the most likely next token among"
        f" {literal(labels)}; the right one here: **{literal(rows[chosen].label)}**."
    )


page()
