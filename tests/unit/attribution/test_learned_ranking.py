"""Learned rankings: the gates against closed forms, planted heads against a control, the budget."""

import pytest
import torch

from ctsft.attribution import learned_ranking
from ctsft.attribution.gated_pool import GatedPool
from ctsft.attribution.learned_ranking import LOSSES, mean_gates, soft_top_k, start_numbers
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import check_settings, score_heads
from ctsft.attribution.scoring_pass import ScoringPass
from ctsft.circuit.faithfulness import ablated
from ctsft.cli import summaries
from ctsft.utils.errors import UserError
from support.planted import planted
from support.tasks import agreed


@pytest.fixture(scope="module")
def known(loaded, task):
    model = loaded["qwen2"]
    rows = agreed(model, task, 4)
    return model, rows, label_balanced_means(model, task, rows)


def scoring(known, task, **config) -> ScoringPass:
    model, rows, means = known
    settings = check_settings(rows, means, "learned", config)
    return ScoringPass(model, task, rows, means, "learned", settings)


def test_gates_add_up_to_the_budget_and_keep_the_order():
    numbers = torch.tensor([0.3, -1.0, 2.0, 0.31, 0.0], dtype=torch.float64, requires_grad=True)
    budgets = torch.tensor([0.5, 1, 2.5, 4], dtype=torch.float64)
    gates, cut = soft_top_k(numbers, budgets, 0.2)
    assert torch.allclose(gates.sum(1), budgets, atol=1e-8)
    assert torch.allclose(gates, ((numbers - cut[:, None]) / 0.2).sigmoid())
    assert all(row.argsort().equal(numbers.argsort()) for row in gates)

    def gates_of(values):
        return soft_top_k(values, budgets, 0.2)[0]

    assert torch.autograd.gradcheck(gates_of, (numbers,), atol=1e-5)


def test_a_score_is_the_mean_gate_over_budgets():
    numbers = start_numbers(torch.tensor([[0.1, 5.0], [-2.0, 0.2]]))
    assert numbers.tolist() == pytest.approx([-1 / 3, 1, -1, 1 / 3])
    scores = mean_gates(numbers, 1e-3)  # cold: the first head is open for all four budgets
    assert scores.tolist() == pytest.approx([2 / 4, 1, 1 / 4, 3 / 4], abs=1e-4)
    assert mean_gates(numbers, 0.5).argsort().equal(numbers.argsort())


def test_gates_of_0_and_1_are_the_circuits_of_faithfulness(known, task):
    model, rows, means = known
    gated, heads = GatedPool(scoring(known, task)), {(0, 1), (1, 3), (2, 0)}
    gates = torch.zeros(len(rows), model.n_layers, model.n_heads)
    for layer, head in heads:
        gates[:, layer, head] = 1
    order = list(range(len(rows)))
    expected = ablated(model, task, frozenset(heads), rows, means).margin
    margins, slopes = gated.margins(order, gates)
    assert torch.allclose(margins.double(), torch.tensor(expected), atol=1e-5)
    assert gated.spent == pytest.approx(3)
    # the slope of one gate of one text against a small step
    step = gates.clone()
    step[2, 1, 0] += 1e-2
    moved = gated.margins(order, step, slopes=False)[0] - margins
    assert moved[2] / 1e-2 == pytest.approx(slopes[2, 1, 0].item(), rel=0.1)
    assert moved[[0, 1, 3]].abs().max() < 1e-6 and gated.spent == pytest.approx(4)


@pytest.mark.parametrize("objective", ["match", "strength"])
def test_planted_heads_come_first(build, task, objective, monkeypatch):
    """Two heads alone carry the task, from a start that ranks them last; control: without learning
    they stay last.
    """
    model, rows, means, heads = planted(build, task)
    backwards = torch.ones(len(rows), model.n_layers, model.n_heads)
    for place, head in enumerate(heads):
        backwards[:, head[0], head[1]] = -1.0 - place
    monkeypatch.setattr(learned_ranking, "run_pass", lambda first: (backwards, []))
    scores = score_heads(model, task, rows, means, "learned", objective=objective, passes=160)
    assert set(scores.ranking()[:2]) == set(heads)
    assert scores.values.min() > 0 and scores.values.max() <= 1
    assert "one ranking for the whole pool" in scores.notes[-1]
    assert (scores.per_example == scores.values).all()
    monkeypatch.setattr(learned_ranking, "RATE", 0.0)
    control = score_heads(model, task, rows, means, "learned", passes=32)
    assert set(control.ranking()[-2:]) == set(heads)


def test_the_budget_holds_and_memory_changes_nothing(known, task, monkeypatch):
    model, rows, means = known
    spent = []
    monkeypatch.setattr(
        learned_ranking,
        "learning_step",
        lambda gated, *args, step=learned_ranking.learning_step: (
            step(gated, *args),
            spent.append(gated.spent),
        ),
    )
    seen = []
    one = score_heads(
        model, task, rows, means, "learned", lambda done, total: seen.append(total), passes=36
    )
    assert 33 < spent[-1] <= 36 and set(seen) == {36.0}
    small = score_heads(model, task, rows, means, "learned", passes=36, batch_tokens=1)
    assert torch.allclose(one.values, small.values, atol=1e-2)


def test_losses_of_faithfulness():
    """Too much costs little where the circuit is to match the model, and pays where it is to be
    strong.
    """
    faithful = torch.tensor([0.5, 1.0, 2.0])
    assert LOSSES["match"](faithful).tolist() == pytest.approx([0.5, 0, 0.15])
    assert LOSSES["strength"](faithful).tolist() == [-0.5, -1, -2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"passes": 28}, "needs at least"),
        ({"passes": 0}, "choose 1 to"),
        ({"objective": "size"}, "choose from match, strength"),
        ({"positions": "each"}, "says nothing about single texts"),
        ({"rules": "symmetric"}, "'cdt' only"),
    ],
)
def test_what_cannot_be_learned_is_refused(known, task, settings, said):
    model, rows, means = known
    with pytest.raises(UserError, match=said):
        score_heads(model, task, rows, means, "learned", **settings)


def test_scores_of_the_whole_pool_are_printed_without_an_error():
    head = {"layer": 1, "head": 2, "score": 0.5, "stderr": 0.25}
    summary = {"method": "learned", "examples": 6, "heads": [head], "notes": []}
    assert "+0.5000 ± 0.2500" in summaries.score(summary)
    assert "±" not in summaries.score(summary | {"heads": [head | {"stderr": 0.0}]})
