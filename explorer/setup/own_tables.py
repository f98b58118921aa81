"""A task from the user's own tables, on Setup: upload files, assign their columns, check three
prompts with their label tokens, and save the task.
"""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from ctsft.data import own_tables, task_file
from ctsft.data.own_tables import DRAW_SPLITS, TableFile
from ctsft.data.sources import SPLITS
from ctsft.data.tables import Table, open_table
from ctsft.data.task import Task
from ctsft.model.model import Model
from ctsft.utils import home
from ctsft.utils.units import bytes_text
from explorer.session import binding, errors, uploads
from explorer.setup import table_preview
from explorer.text.markdown import literal
from explorer.widgets import messages

SPLIT_NAMES = {
    "train": "train",
    "valid": "validation",
    "test": "test",
    DRAW_SPLITS: "split at random",
}
NO_LANGUAGE_COLUMN = "none: one language per file"
LABEL_COLUMNS = ("label", "labels", "sentiment", "class")  # usual names of the label column
TEXT_COLUMNS = ("text", "sentence", "review")
MESSAGE = "own_tables_message"
STORED_MESSAGE = "own_tables_stored_message"
UPLOADED = "own_tables_uploaded"  # of the session: names of the uploaded files
READ = "own_tables_read"  # of the session: the tables of the uploaded files

Frames = dict[str, pd.DataFrame]  # by file name
Tables = dict[str, Table]


def draw(model: Model | None, use: Callable[[str], None]):
    """`use(path)` is a callback that opens the task file written to `path`."""
    files = st.file_uploader(
        "Tables of labelled texts",
        ["csv", "tsv", "jsonl", "parquet", "arrow"],
        accept_multiple_files=True,
        key="own_files",
        on_change=store,
        help=(
            "CSV or TSV with a header line, JSONL (UTF-8), Parquet or Arrow; at most 50 MB each."
            " The files stay on this machine."
        ),
    )
    messages.show(STORED_MESSAGE)
    stored_files()
    if not files and not uploads.listed():
        st.caption(
            "Upload one or more files, for example one for each language and split. Each file"
            " needs a column of texts and a column of labels."
        )
        return
    tables = opened(files)
    if not tables:
        return

    def save_and_use():
        with messages.errors_as(MESSAGE):
            use(str(task_file.write_task(task, home.home_folder("tasks"))))
            forget()

    with errors.sentences(stop=False):
        task = draft_task(tables)
        usable = table_preview.draw(task, model)
        table_preview.notices(task)
        st.button(
            "Use this task",
            type="primary",
            on_click=save_and_use,
            disabled=not usable,
            icon=":material/check:",
            help="Saves the task in your folder and opens it in this session.",
        )
        messages.show(MESSAGE)


def opened(files: list) -> Tables:
    """The tables of the uploaded files and of those stored earlier, each read once; a file that
    cannot be read is an error on the page, and the others remain.
    """
    read = st.session_state.get(READ, {})
    st.session_state[READ] = current = {}
    contents = {(file.name, file.file_id): file.getvalue for file in files}
    uploaded = {uploads.safe_name(file.name) for file in files}
    contents |= {
        (path.name, path.stat().st_mtime_ns): path.read_bytes
        for path in uploads.listed()
        if path.name not in uploaded
    }
    for key, content in contents.items():
        with errors.sentences(stop=False):
            current[key] = read.get(key) or open_table(key[0], data=content())
    return {name: table for (name, _), table in current.items()}


def store():
    """A callback: copies of the uploaded files, so that they outlive a reload; what was removed
    from the upload is removed there, too.
    """
    files = {file.name: file for file in st.session_state.own_files or []}
    before = st.session_state.get(UPLOADED, set())
    st.session_state[UPLOADED] = set(files)
    for name in before - set(files):
        uploads.remove(name)
    with messages.errors_as(STORED_MESSAGE):
        for name in set(files) - before:
            uploads.save(name, files[name].getvalue())


def stored_files():
    """What is stored, and the way to delete it."""
    paths = uploads.listed()
    if not paths:
        return
    names = ", ".join(f"{path.name} ({bytes_text(path.stat().st_size)})" for path in paths)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Stored until their task is saved: {literal(names)}.", width="content")
        st.button(
            "Delete stored tables",
            type="tertiary",
            icon=":material/delete:",
            on_click=forget,
            help="Removes the copies in your folder. Files that you chose just now stay chosen.",
        )


def forget():
    uploads.clear()
    st.session_state.pop(UPLOADED, None)


def draft_task(tables: Tables) -> Task:
    """The task that the widgets describe."""
    view = binding.view()
    frames = {name: table.frame for name, table in tables.items()}
    choose_columns(frames)
    parts = [file_part(name, table) for name, table in tables.items()]
    choose_prompt(frames)
    labels = choose_labels(frames)
    choose_source_and_name(parts)
    name = view.own_name.strip() or "my task"
    return own_tables.draft_task(
        name, view.own_prompt, parts, view.own_label, labels, view.own_source
    )


def all_columns(frames: Frames) -> list[str]:
    return list(
        dict.fromkeys(column for frame in frames.values() for column in map(str, frame.columns))
    )


def choose_columns(frames: Frames):
    """The label column, and the language column if there is one."""
    view, columns = binding.view(), all_columns(frames)
    if view.own_label not in columns:
        usual = (column for column in columns if column.lower() in LABEL_COLUMNS)
        binding.put(own_label=next(usual, columns[-1]))
    if view.own_column not in columns:
        binding.put(own_column="")
    left, right = st.columns(2)
    left.selectbox(
        "Label column",
        columns,
        **binding.bind("own_label", clear_prompt),
        help="The column with the correct answers.",
    )
    right.selectbox(
        "Language column",
        ["", *columns],
        format_func=lambda column: column or NO_LANGUAGE_COLUMN,
        **binding.bind("own_column"),
        help="The column that names the language of each row, if a file holds several languages.",
    )


def clear_prompt():
    binding.put(own_prompt="")


def file_part(name: str, table: Table) -> TableFile:
    """One line for a file: how it was read, its language and its split."""
    language, split = own_tables.guess_language_and_split(name)
    title, first, second = st.columns([2, 2, 2], vertical_alignment="bottom")
    title.markdown(f"**{literal(name)}**  \n{len(table.frame):,} rows, {table.dialect}")
    if not binding.view().own_column:
        language = first.text_input("Language", language, key=f"own_language_{name}")
    splits = [*SPLITS, DRAW_SPLITS]
    split = second.selectbox(
        "Split",
        splits,
        splits.index(split),
        format_func=SPLIT_NAMES.get,
        key=f"own_split_{name}",
        help=(
            "Split at random: 70 % train, 15 % validation and 15 % test, for each label. Rows with"
            " the same text are in one split."
        ),
    )
    return TableFile(table.frame, language.strip(), split, binding.view().own_column or None)


def choose_prompt(frames: Frames):
    view = binding.view()
    names = {
        column: name
        for frame in frames.values()
        for column, name in own_tables.prompt_names(frame).items()
    }
    if not view.own_prompt:
        text = text_column(frames)
        prompt = f"{{{names[text]}}} | {names[view.own_label]}:" if text else ""
        binding.put(own_prompt=prompt)
    placeholders = [f"`{{{name}}}`" for column, name in names.items() if column != view.own_label]
    st.text_input(
        "Prompt",
        **binding.bind("own_prompt"),
        help=(
            "The text that the model reads before it answers with the label. Placeholders:"
            f" {', '.join(placeholders)}."
        ),
    )


def text_column(frames: Frames) -> str:
    """The column that most likely holds the texts: by its name, else the one with the longest
    values on average in the first file; "" where there is none.
    """
    view = binding.view()
    columns = [
        column for column in all_columns(frames) if column not in (view.own_label, view.own_column)
    ]
    for column in columns:
        if column.lower() in TEXT_COLUMNS:
            return column
    frame = next(iter(frames.values()))
    lengths = {
        column: frame[column].map(lambda value: len(str(value))).mean()
        for column in columns
        if column in frame.columns
    }
    return max(lengths, key=lengths.get, default="")


def choose_labels(frames: Frames) -> dict[str, str | None]:
    """{value of the label column: the label that the model answers}, None for those whose rows are
    left out.
    """
    label_column = binding.view().own_label
    values = own_tables.label_values(frames.values(), label_column)
    left_out = st.multiselect(
        "Labels to leave out",
        values,
        format_func=lambda value: value or "(empty)",
        key=f"own_left_out_{label_column}",
        help="Rows with these labels are not part of the task, such as rows marked “unclear”.",
    )
    words: dict[str, str | None] = dict.fromkeys(left_out)
    answered = [value for value in values if value not in left_out]
    if not answered:
        return words
    st.caption("The word that the model answers for each label. It must be a single token.")
    columns = st.columns(min(4, len(answered)))
    for i, value in enumerate(answered):
        words[value] = columns[i % len(columns)].text_input(
            f"“{literal(value)}”", value, key=f"own_word_{label_column}_{value}"
        )
    return words


def choose_source_and_name(parts: list[TableFile]):
    languages = list(
        dict.fromkeys(
            language for part in parts for language, _ in own_tables.rows_by_language(part)
        )
    )
    if binding.view().own_source not in languages:
        binding.put(own_source=languages[0])
    left, right = st.columns(2)
    left.selectbox(
        "Source language",
        languages,
        **binding.bind("own_source"),
        help="The language that the model knows. Circuits are found in it.",
    )
    right.text_input(
        "Name of the task",
        **binding.bind("own_name"),
        help="The task file is saved under this name.",
    )
