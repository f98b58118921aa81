"""Roles of heads: planted ones of every role, the control without a penalty, files, refusals."""

import csv
import io
import json

import pytest
import torch

from ctsft.attribution import role_gates
from ctsft.attribution.head_roles import (
    FACILITATING,
    INTERFERING,
    IRRELEVANT,
    HeadRoles,
    RoleGates,
)
from ctsft.attribution.role_gates import learn_roles
from ctsft.circuit.faithfulness import ablated
from ctsft.plots import role_map
from ctsft.utils.errors import UserError
from support.planted import planted


def made(opening, closing, **about) -> HeadRoles:
    gates = RoleGates(torch.tensor(opening), torch.tensor(closing))
    return HeadRoles(gates, ["a0", "a1"], 0.5, about)


@pytest.fixture(scope="module")
def known(build, task):
    return planted(build, task, against=(1, 2))


def test_planted_heads_have_their_roles(known, task, monkeypatch):
    """Which heads have which role, the measure of faithfulness itself says."""
    model, rows, means, carriers = known
    monkeypatch.setattr(role_gates, "STEPS", 30)
    everything = frozenset(model.heads)
    full = ablated(model, task, everything, rows, means).margin.mean()
    change = {
        head: ablated(model, task, everything - {head}, rows, means).margin.mean() - full
        for head in model.heads
    }
    seen = []
    roles = learn_roles(model, task, rows, means, lambda done, total: seen.append(done / total))
    expected = {
        role: {head for head in model.heads if here(change[head])}
        for role, here in {
            FACILITATING: lambda by: by < -1e-3,
            INTERFERING: lambda by: by > 1e-3,
            IRRELEVANT: lambda by: abs(by) <= 1e-3,
        }.items()
    }
    assert expected[FACILITATING] == set(carriers) and expected[INTERFERING] == {(1, 2)}
    assert {role: set(heads) for role, heads in roles.by_role.items()} == expected
    assert seen[-1] == 1 and seen == sorted(seen)
    assert roles.about["passes"] <= 2 + 2 * 3 * role_gates.STEPS * role_gates.TEXTS / len(rows)


def test_a_penalty_above_every_effect_leaves_no_role(known, task, monkeypatch):
    """The control: the same heads, and a penalty that outweighs them all."""
    model, rows, means, _ = known
    monkeypatch.setattr(role_gates, "STEPS", 10)
    roles = learn_roles(model, task, rows, means, penalty=1000)
    assert set(roles.by_role[IRRELEVANT]) == set(model.heads)


def test_a_role_is_read_off_two_gates():
    roles = made([[0.9, 0.1, 0.8, 0.2]], [[0.8, 0.05, 0.2, 0.75]])
    assert [roles.role((0, head)) for head in range(4)] == [
        FACILITATING,
        INTERFERING,
        IRRELEVANT,
        INTERFERING,  # 0.8 against 0.75
    ]
    assert roles.values.tolist()[0] == pytest.approx([0.7, -0.85, 0, -0.05], abs=1e-6)
    assert roles.irrelevant.tolist()[0] == pytest.approx([0.18, 0.095, 0.64, 0.05])
    assert roles.by_role[INTERFERING] == [(0, 1), (0, 3)]
    table = list(csv.DictReader(io.StringIO(roles.csv())))
    assert [row["role"] for row in table][:2] == [FACILITATING, INTERFERING]
    assert float(table[0]["facilitating"]) == pytest.approx(0.8)


def test_a_file_holds_them_and_another_one_is_refused(tmp_path):
    roles, path = made([[0.9, 0.25]], [[0.75, 0.0]], model="tiny"), tmp_path / "roles.json"
    roles.save(path)
    again = HeadRoles.load(path)
    assert torch.equal(again.gates.opening, roles.gates.opening)
    assert torch.equal(again.gates.closing, roles.gates.closing)
    assert (again.examples, again.penalty, again.about) == (["a0", "a1"], 0.5, {"model": "tiny"})
    for change in (
        {"closing": [[0.5]]},
        {"opening": [[0.5, 1.5]]},
        {"opening": []},
        {"penalty": 0},
    ):
        path.write_text(json.dumps(roles.row() | change))
        with pytest.raises(UserError, match="score --roles"):
            HeadRoles.load(path)


def test_the_map_shows_the_difference_and_names_the_roles():
    roles = made([[0.9, 0.1], [0.8, 0.9]], [[0.8, 0.05], [0.2, 0.1]])
    figure = role_map(roles)
    assert torch.allclose(torch.tensor(figure.data[0].z, dtype=torch.float32), roles.values)
    hover = " ".join(text for trace in figure.data for text in trace.text or ())
    assert "facilitating" in hover and "interfering" in hover and "irrelevant" in hover
    with pytest.raises(UserError, match="role_map draws"):
        role_map([1.0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"penalty": 0.0}, "choose a positive number"),
        ({"pool": []}, "at least one"),
        ({"steps": 0}, "points on the path"),
    ],
)
def test_what_cannot_be_learned_is_refused(known, task, change, said):
    model, rows, means, _ = known
    pool = change.pop("pool", rows)
    with pytest.raises(UserError, match=said):
        learn_roles(model, task, pool, means, **change)
