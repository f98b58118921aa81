"""The roles of heads as a head map: facilitating minus interfering."""

import plotly.graph_objects as go

from ctsft.attribution.head_roles import ROLES, HeadRoles
from ctsft.attribution.scores import Head
from ctsft.plots.head_grid import Scale, head_grid
from ctsft.plots.head_marks import Marks
from ctsft.plots.inputs import require
from ctsft.utils.format import head_name, number

EXPECTED = "the roles of heads (`ctsft.learn_roles(...)`)"
UNIT = "facilitating minus interfering"


def role_map(
    roles: HeadRoles, selected: Head | None = None, *, title: str = "", flip: bool = False
) -> go.Figure:
    """Every head from -1 (interfering) over 0 (irrelevant) to 1 (facilitating). `selected`: a head
    with a ring. UserError for a head that is not on the map.
    """
    require("role_map", roles, HeadRoles, EXPECTED)
    layers, heads = roles.values.shape
    counts = ", ".join(f"{len(members)} {role}" for role, members in roles.by_role.items())
    return head_grid(
        roles.values.numpy(),
        Marks(selected=selected),
        title=title or f"Roles of heads: {counts}",
        scale=Scale(UNIT, 1.0, ends="−1 to 1"),
        hover=[[hover(roles, (layer, head)) for head in range(heads)] for layer in range(layers)],
        flip=flip,
    )


def hover(roles: HeadRoles, head: Head) -> str:
    lines = [f"<b>{head_name(head)}</b>  {roles.role(head)}"]
    lines += [f"{role}: {number(getattr(roles, role)[head].item())}" for role in ROLES]
    return "<br>".join(lines)
