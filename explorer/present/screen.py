"""The screen of a presentation: a picture, its title and a sentence; buttons and keys lead to the
next and the previous one. Escape leaves.
"""

from pathlib import Path

import streamlit as st

from ctsft.plots.presentation import enlarged
from explorer.present import pictures
from explorer.session import binding, errors
from explorer.widgets import chart
from explorer.widgets.run_receipts import covered_by

STATIC = Path(__file__).parents[1] / "static"
# page -> the picture that its button opens
FIRST = {"relevance": "map", "circuit": "circuit", "finetune": "curves", "": "curves"}
KEYS = "present_keys"
USUAL_HEIGHT, LARGEST = 800, 2.5  # pixels; times the usual size


def button(page: str):
    """`page`: its name in the address."""
    st.button(
        "Present",
        icon=":material/slideshow:",
        type="tertiary",
        on_click=binding.put,
        kwargs={"present": FIRST.get(page, "frontier")},
        help="One picture at a time on the whole screen: map, circuit, curves, frontier.",
    )


def draw():
    st.html(STATIC / "present.css")
    available = pictures.available()
    with st.container(key="present", gap="small"), errors.sentences(stop=False):
        height = keys(list(available))
        if not available:
            st.info(
                "There is no picture yet: score the heads on Relevance, or tune on Fine-tune.",
                icon=":material/slideshow:",
            )
            st.button("Leave", on_click=leave)
            return
        name = shown_of(list(available))
        picture = available[name]()
        with st.container(horizontal=True, vertical_alignment="center", key="present-head"):
            st.header(picture.title, anchor=False, width="stretch")
            buttons(list(available), name)
        with covered_by("present", *picture.rests_on):
            st.markdown(picture.sentence)
            with st.container(key="present-chart"):
                figure = enlarged(picture.figure, min(max(height / USUAL_HEIGHT, 1.0), LARGEST))
                chart.plain(figure, f"present-{name}", height="stretch")


def buttons(names: list[str], name: str):
    st.caption(f"{names.index(name) + 1} of {len(names)}", width="content")
    for label, icon, by in (("Previous", "arrow_back", -1), ("Next", "arrow_forward", 1)):
        st.button(
            label,
            icon=f":material/{icon}:",
            type="tertiary",
            on_click=move,
            args=(names, by),
        )
    st.button("Leave", icon=":material/close:", type="tertiary", on_click=leave)


def keys(names: list[str]) -> float:
    """The arrow keys and Escape; enters the browser's full screen where that is allowed. Returns
    the height of the window in pixels.
    """
    component = st.components.v2.component(
        "present", html="<span></span>", js=(STATIC / "present.js").read_text("utf-8")
    )

    def pressed():
        action = st.session_state[KEYS].action
        if action == "leave":
            leave()
        elif action:
            move(names, 1 if action == "next" else -1)

    shown = component(
        key=KEYS,
        default={"height": USUAL_HEIGHT},
        on_action_change=pressed,
        on_height_change=lambda: None,
    )
    return shown.height or USUAL_HEIGHT


def shown_of(names: list[str]) -> str:
    """The picture of the address; the first one where that one is not there."""
    current = binding.view().present
    return current if current in names else names[0]


def move(names: list[str], by: int):
    """To the next picture, or the previous one; the first follows the last."""
    if names:
        place = names.index(shown_of(names)) + by
        binding.put(present=names[place % len(names)])


def leave():
    binding.put(present="")
