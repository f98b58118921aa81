"""Own files on Setup: drop tables, say which column is what, see three prompts with their label
tokens, and keep that as a task.
"""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from ctsft.data import own_tables
from ctsft.data.own_tables import DRAW, Part
from ctsft.data.sources import SPLITS, read_table
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.utils import home
from explorer.session import binding, errors
from explorer.session.data_facts import spread
from explorer.text.markdown import literal

SPLIT_WORDS = {"train": "train", "valid": "validation", "test": "test", DRAW: "draw all three"}
ONE_EACH = "one language a file"
SHOWN = 3


def draw(model: Model | None, use: Callable[[str], None]):
    """`use(path)` is called, in a callback, with the task file that was written."""
    files = st.file_uploader(
        "Tables of labelled texts",
        ["csv", "tsv", "jsonl"],
        accept_multiple_files=True,
        key="own_files",
        help=(
            "CSV and TSV with a header line, or JSONL, in UTF-8; at most 50 MB each. They stay on"
            " this machine."
        ),
    )
    if not files:
        st.caption(
            "Drop one file or several: for instance one for each language and split. Each needs a"
            " column with texts and one with labels."
        )
        return
    frames: dict[str, pd.DataFrame] = {}
    for file in files:
        with errors.sentences(stop=False):
            frames[file.name] = read_table(file.name, data=file.getvalue())
    if not frames:
        return
    with errors.sentences(stop=False):
        task = mapped(frames)
        ready = preview(task, model)
        st.button(
            "Use this task",
            on_click=lambda: use(str(own_tables.keep(task, home.home() / "tasks"))),
            disabled=not ready,
            icon=":material/check:",
            help=(
                "Writes it into your folder, where it is found again, and takes it as the task of"
                " this session."
            ),
        )


def mapped(frames: dict[str, pd.DataFrame]) -> Task:
    """The draft that the widgets describe."""
    now = binding.view()
    every = list(
        dict.fromkeys(column for frame in frames.values() for column in map(str, frame.columns))
    )
    names = {
        column: name
        for frame in frames.values()
        for column, name in own_tables.columns(frame).items()
    }
    if now.own_label not in every:
        binding.put(
            own_label=next(
                (
                    column
                    for column in every
                    if column.lower() in ("label", "labels", "sentiment", "class")
                ),
                every[-1],
            )
        )
    if now.own_column not in every:
        binding.put(own_column="")
    left, right = st.columns(2)
    left.selectbox(
        "Label column",
        every,
        **binding.bind("own_label", clear_prompt),
        help="The column with the right answers.",
    )
    right.selectbox(
        "Language column",
        ["", *every],
        format_func=lambda column: column or ONE_EACH,
        **binding.bind("own_column"),
        help="A column that names the language of each row, if one file holds several.",
    )
    parts = [part(name, frame) for name, frame in frames.items()]
    now = binding.view()
    if not now.own_prompt:
        free = [column for column in every if column not in (now.own_label, now.own_column)]
        text = next(
            (column for column in free if column.lower() in ("text", "sentence", "review")),
            longest(frames, free),
        )
        binding.put(own_prompt=f"{{{names[text]}}} | {names[now.own_label]}:" if text else "")
    st.text_input(
        "Prompt",
        **binding.bind("own_prompt"),
        help="It ends just before the label. Columns stand in braces: "
        + ", ".join(f"`{{{name}}}`" for column, name in names.items() if column != now.own_label)
        + ".",
    )
    values = own_tables.label_values(frames.values(), now.own_label)
    st.caption(
        "The word the model is to answer for each label of the files; each has to be one token."
    )
    columns = st.columns(min(4, len(values)))
    words = {
        value: (
            columns[i % len(columns)].text_input(
                f"“{literal(value)}”", value, key=f"own_word_{now.own_label}_{value}"
            )
        )
        for i, value in enumerate(values)
    }
    languages = list(
        dict.fromkeys(language for one in parts for language, _ in own_tables.by_language(one))
    )
    if now.own_source not in languages:
        binding.put(own_source=languages[0])
    left, right = st.columns(2)
    left.selectbox(
        "Source language",
        languages,
        **binding.bind("own_source"),
        help="The one the model knows; circuits are found in it.",
    )
    right.text_input(
        "Name of the task",
        **binding.bind("own_name"),
        help="The task file is kept under this name.",
    )
    now = binding.view()
    return own_tables.draft(
        now.own_name.strip() or "my task",
        now.own_prompt,
        parts,
        now.own_label,
        words,
        now.own_source,
    )


def clear_prompt():
    binding.put(own_prompt="")


def longest(frames: dict[str, pd.DataFrame], columns: list[str]) -> str:
    """The column with the longest values on average: most likely the texts."""
    frame = next(iter(frames.values()))
    sizes = {
        column: frame[column].map(lambda value: len(str(value))).mean()
        for column in columns
        if column in frame.columns
    }
    return max(sizes, key=sizes.get, default="")


def part(name: str, frame: pd.DataFrame) -> Part:
    """One file's line: what its rows are."""
    language, split = own_tables.guess(name)
    told, first, second = st.columns([2, 2, 2], vertical_alignment="bottom")
    told.markdown(f"**{literal(name)}**  \n{len(frame):,} rows")
    if not binding.view().own_column:
        language = first.text_input("Language", language, key=f"own_language_{name}")
    splits = [*SPLITS, DRAW]
    split = second.selectbox(
        "Rows are",
        splits,
        splits.index(split),
        format_func=SPLIT_WORDS.get,
        key=f"own_split_{name}",
        help="Draw all three: 70 % train, 15 % validation, 15 % test, label by label.",
    )
    return Part(frame, language.strip(), split, binding.view().own_column or None)


def preview(task: Task, model: Model | None) -> bool:
    """Three prompts and what each label becomes; whether the task can be used."""
    split = task.splits(task.source)[0]
    rows = spread(task.load(task.source, split), task.labels, SHOWN)
    if model is None:
        st.info("Choose a model to see what the labels become.", icon=":material/info:")
        return False
    if model.classes:
        task.label_ids(model)
        told = {label: f":green-badge[class {literal(label)}]" for label in task.labels}
    else:
        found = own_tables.label_tokens(model.tokenizer, task.labels)
        told = {one.label: badge(one.pieces, one.one) for one in found}
        wrong = [one for one in found if not one.one]
        if wrong:
            st.error(
                f"“ {literal(wrong[0].label)}” becomes {len(wrong[0].pieces)} tokens of this model,"
                " and a label has to be one known token; choose another word for it.",
                icon=":material/error:",
            )
    st.caption(
        f"The first prompts of {literal(task.source)}, {split}, as the model would read them, and"
        " the token of the right label:"
    )
    for row in rows:
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.code(task.text(row), language=None, wrap_lines=True)
        right.markdown(told[row.label])
    st.markdown("All labels: " + " ".join(told.values()))
    return bool(model.classes) or all(one.one for one in found)


def badge(pieces: list[str], one: bool) -> str:
    """A label's tokens, green when it is one, red with the cuts shown when it is more."""
    text = literal(" │ ".join(piece.strip() or "␣" for piece in pieces))
    return f":green-badge[{text}]" if one else f":red-badge[{text}]"
