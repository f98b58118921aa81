"""The role of each head on Relevance: the map, the clearest heads of each role, and the run that
learns them.
"""

import streamlit as st

from ctsft import runs
from ctsft.attribution.head_roles import IRRELEVANT, ROLES, HeadRoles
from ctsft.jobs.command_line import shell_command
from ctsft.jobs.requests import ScoreRequest, needed_request, same_question
from ctsft.plots.head_roles import role_map
from ctsft.utils.format import head_name
from explorer.session import binding, inputs, own_runs, requests, score_runs
from explorer.session.view import View
from explorer.text.glossary import TERMS
from explorer.widgets import chart, run_progress
from explorer.widgets.run_receipts import covered_by

NAMED = 8  # heads of a role


def draw():
    """The map, or a button that learns the roles on the page's discovery set."""
    run, active = newest(("done",)), newest(score_runs.ACTIVE)
    roles = read(run)
    if roles:
        with covered_by("roles", run):
            show(roles)
        with st.expander("The command"):
            st.code(shell_command(needed_request(run)), language="shell", wrap_lines=True)
    elif active:
        run_progress.watch(active, savable=False)
    else:
        st.button(
            "Learn the role of each head",
            on_click=start,
            help=(
                TERMS["roles"] + " About 72 forward passes over a discovery set of 50 texts, a"
                " backward pass counted as two."
            ),
        )


def request(view: View) -> ScoreRequest:
    """The request of the view's scores with the roles of heads."""
    return requests.score_request(view).model_copy(update={"roles": True, "preview": False})


def start():
    own_runs.start(request(binding.view()))


def newest(states: tuple[str, ...]) -> runs.Run | None:
    """The newest run of the page's scores that has roles."""
    wanted = requests.score_request(binding.view())
    return score_runs.find_run(
        "score",
        lambda other: other.roles and same_question(wanted, other),
        states,
        (None, inputs.load_model(binding.view().model).fingerprint),
    )


def read(run: runs.Run | None) -> HeadRoles | None:
    path = run.file("roles.json") if run else None
    return _read(str(path), path.stat().st_mtime) if path and path.is_file() else None


@st.cache_data(show_spinner=False, max_entries=16)
def _read(path: str, changed: float) -> HeadRoles:
    return HeadRoles.load(path)


def show(roles: HeadRoles):
    view = binding.view()
    figure = role_map(roles, view.head, title="Roles of heads", flip=view.flip)
    chart.show(figure, "head-roles", width="content")
    for role in ROLES:
        heads = roles.by_role[role]
        named = f": {', '.join(map(head_name, heads[:NAMED]))}" if role != IRRELEVANT else ""
        more = ", …" if named and len(heads) > NAMED else ""
        st.markdown(f"**{len(heads)} {role}**{named if heads else ''}{more}", help=TERMS["roles"])
    st.download_button(
        "Roles (CSV)",
        roles.csv,
        "roles.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
        help="Columns: layer, head, role, and how clearly it has each role, 0 to 1.",
    )
