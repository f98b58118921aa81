"""What a task from the user's own tables looks like before it is saved: its first prompts, the
tokens of its labels, and what its rows cannot show.
"""

import streamlit as st

from ctsft.data import own_tables
from ctsft.data.labels import LabelTokens, label_tokens
from ctsft.data.task import Task
from ctsft.model.model import Model
from explorer.session import errors
from explorer.session.data_facts import spread
from explorer.text.markdown import literal

PROMPTS_SHOWN = 3


def draw(task: Task, model: Model | None) -> bool:
    """Three prompts and the tokens of each label; True where the model can answer with them."""
    split = task.splits(task.source)[0]
    rows = spread(task.load(task.source, split), task.labels, PROMPTS_SHOWN)
    if model is None:
        st.info("Choose a model to see the tokens of the labels.", icon=":material/info:")
        return False
    if model.classes:
        task.label_ids(model)
        badges = {label: f":green-badge[class {literal(label)}]" for label in task.labels}
        usable = True
    else:
        tokens = label_tokens(model.tokenizer, task.labels)
        badges = {label.label: badge(label) for label in tokens}
        usable = all(label.single for label in tokens)
        refuse_long_label(tokens)
    st.caption(
        f"The first prompts of {literal(task.source)}, {split}, as the model reads them, with the"
        " token of the correct label:"
    )
    for row in rows:
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.code(task.text(row), language=None, wrap_lines=True)
        right.markdown(badges[row.label])
    st.markdown("All labels: " + " ".join(badges.values()))
    return usable


def refuse_long_label(tokens: list[LabelTokens]):
    """An error for the first label that is not a single token."""
    for label in tokens:
        if not label.single:
            errors.show_error(
                f"“ {label.label}” is {len(label.pieces)} tokens for this model, but a label must"
                " be one known token. Enter another word for it."
            )
            return


def badge(label: LabelTokens) -> str:
    """A label's tokens: green for a single token, red with its parts otherwise."""
    text = literal(" │ ".join(piece.strip() or "␣" for piece in label.pieces))
    colour = "green" if label.single else "red"
    return f":{colour}-badge[{text}]"


def notices(task: Task):
    """What the rows cannot show: texts on both sides of a split, and a target that is missing."""
    repeated = own_tables.repeated_texts(task)
    if repeated:
        counts = ", ".join(f"{count} of {language}" for language, count in repeated.items())
        st.warning(
            f"Texts of the train rows stand in the validation or test rows, too: {literal(counts)}."
            " Accuracy on them says little. Files that are split at random have no such texts.",
            icon=":material/warning:",
        )
    if not task.targets:
        st.info(
            f"All rows are of one language, {literal(task.source)}. Its heads can be scored;"
            " Fine-tune needs a second language. Upload a table of it as well, or hold out a part"
            " of these rows on Fine-tune.",
            icon=":material/info:",
        )
