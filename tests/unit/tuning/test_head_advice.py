"""Advice: gradients and Fisher information against autograd and by hand, the prediction against
what a move does, and the best set of heads.
"""

import itertools

import pytest
import torch
from torch.nn import functional as F

import ctsft
from ctsft.circuit.advice_ranking import Ranking
from ctsft.model.batching import pad
from ctsft.model.forward import readout_logits
from ctsft.tuning.gradients import Gradients, fisher, mean_gradient
from ctsft.tuning.head_advice import Advice, advise_heads
from ctsft.tuning.masked_training import masked_training
from ctsft.tuning.trainable import head_slices
from support.errors import said
from support.scores import made
from support.tasks import cued
from support.training import bits

# transposed and fused; grouped keys with biases; grouped without
CASES = ["gpt2", "qwen2", "llama"]


TARGET, SOURCE = cued(9, 1), cued(8, 2)


def loss_of(model, task, rows):
    tokens = task.label_ids(model)
    batch = pad([task.encode(model, row) for row in rows], model.device)
    return F.cross_entropy(
        readout_logits(model.hf, batch), torch.tensor([tokens[row.label] for row in rows])
    )


@pytest.mark.parametrize("family", CASES)
def test_what_the_target_asks_is_the_gradient_of_what_would_be_trained(build, task, family):
    """Against autograd on the parameters that tuning that head would train (norms left out)."""
    model = build(family)
    advice = advise_heads(model, task, TARGET, SOURCE)
    for head in [(0, 0), (1, 3), (2, 1)]:
        with masked_training(model, [head]) as hf:
            loss_of(model, task, TARGET).backward()
            gradients = [value.grad for value in hf.trained_slices.parameters()]
            assert advice.gradient_squared[head].item() == pytest.approx(
                sum(value.square().sum().item() for value in gradients), rel=1e-4
            )
            assert advice.gradient[head].item() == pytest.approx(
                torch.cat([value.flatten() for value in gradients]).norm().item(), rel=1e-4
            )
            hf.zero_grad()


def test_fisher_information_is_the_mean_of_squared_gradients_not_the_square_of_the_mean(
    build, task
):
    model = build("qwen2")
    information, parameters = fisher(model, task, SOURCE), Gradients(model, task).parameters
    by_hand = [torch.zeros_like(value) for value in parameters]
    for row in SOURCE:
        for sum_, gradient in zip(
            by_hand, torch.autograd.grad(loss_of(model, task, [row]), parameters), strict=True
        ):
            sum_ += gradient**2 / len(SOURCE)
    assert all(
        torch.allclose(one.float(), two, rtol=1e-4, atol=1e-9)
        for one, two in zip(information, by_hand, strict=True)
    )
    mean = mean_gradient(Gradients(model, task), SOURCE)
    assert not any(
        torch.allclose(one, two.square(), rtol=1e-2)
        for one, two in zip(information, mean, strict=True)
    )
    advice = advise_heads(model, task, TARGET, SOURCE, information=information)
    assert torch.equal(advice.fisher, advise_heads(model, task, TARGET, SOURCE).fisher)


@pytest.mark.parametrize("family", CASES)
def test_a_head_is_worth_what_the_target_wins_when_it_moves_that_way(build, task, family):
    """The prediction: moving a head's own numbers by -s g / (F + damping) lowers the target's loss
    by s times its worth. Then it is done.
    """
    model = build(family)
    before = {key: value.clone() for key, value in model.hf.state_dict().items()}
    information, gradients = fisher(model, task, SOURCE), Gradients(model, task)
    advice, asked = (
        advise_heads(model, task, TARGET, SOURCE, information=information),
        mean_gradient(gradients, TARGET),
    )
    worth, start, head = advice.values, loss_of(model, task, TARGET).item(), (1, 2)
    step = {
        id(parameter): g / (f + advice.damping)
        for parameter, g, f in zip(gradients.parameters, asked, information, strict=True)
    }
    size = 2e-3 * start / worth[head].item()
    with torch.no_grad():
        for part in itertools.chain(*head_slices(model, *head)):
            weight = part.linear.module.weight
            change = step[id(weight)].T if part.linear.transposed else step[id(weight)]
            bias = (
                None
                if part.bias is None
                else (part.bias - size * step[id(part.linear.module.bias)][part.index]).float()
            )
            part.write(
                (
                    part.values
                    - size * (change[:, part.index] if part.columns else change[part.index])
                ).float(),
                bias,
            )
        after = loss_of(model, task, TARGET).item()
        assert start - after == pytest.approx(size * worth[head].item(), rel=0.1)
        model.hf.load_state_dict(before)


def test_the_advised_heads_are_the_best_set_and_shared_rows_count_once(build, task):
    # 3 layers of 4 heads, 2 to a key/value group
    advice = advise_heads(build("qwen2"), task, TARGET, SOURCE)

    def worth(heads):
        groups = {(layer, head // advice.group) for layer, head in heads}
        return sum(advice.head_value[head].item() for head in heads) + sum(
            advice.group_value[group].item() for group in groups
        )

    every = list(itertools.product(range(3), range(4)))
    best = max(itertools.combinations(every, 2), key=worth)
    assert worth(advice.circuit(2).heads) >= (1 - 1 / 2.718282) * worth(best)
    assert advice.order(1) == [max(every, key=lambda head: advice.values[head])]
    assert sorted(advice.order()) == every and advice.order(5) == advice.order()[:5]
    head_values, shared = torch.tensor([[1.0, 0.9, 0.1, 0.2]]), torch.tensor([[1.0, 2.0]])
    by_hand = Advice(head_values, shared, head_values, head_values, 1.0)
    assert by_hand.values[0].tolist() == pytest.approx([2.0, 1.9, 2.1, 2.2])
    # not by value alone: (0, 2)'s rows move already after (0, 3)
    assert by_hand.order() == [(0, 3), (0, 0), (0, 1), (0, 2)]


def test_advice_is_a_circuit_with_reasons_and_leaves_the_model_alone(build, task):
    model = build("gpt2")
    before, grads = bits(model.hf), [value.requires_grad for value in model.hf.parameters()]
    advice = ctsft.advise_heads(model, task, TARGET, SOURCE)
    circuit = advice.circuit(3)
    assert (
        len(circuit) == 3
        and circuit.rule["name"] == "advised"
        and circuit.check(model)
        and not circuit.added
    )
    assert all("rank" in why and "Fisher" in why for why in circuit.why.values())
    assert all(torch.equal(value, before[name]) for name, value in bits(model.hf).items())
    assert [value.requires_grad for value in model.hf.parameters()] == grads and all(
        value.grad is None for value in model.hf.parameters()
    )
    assert advice.ranking().order == advice.order()
    assert len(advice.ranking().csv().splitlines()) == 13


def test_more_source_information_on_a_head_makes_it_worth_less(build, task):
    model = build("llama")
    information = fisher(model, task, SOURCE)
    free = advise_heads(model, task, TARGET, SOURCE, information=information)
    first = free.order(1)[0]
    # its columns of the output projection
    columns = head_slices(model, *first)[0][1]
    at = [id(parameter) for parameter in Gradients(model, task).parameters].index(
        id(columns.linear.module.weight)
    )
    information[at][:, columns.index] += 1e6
    dear = advise_heads(model, task, TARGET, SOURCE, information=information)
    assert dear.values[first] < free.values[first]
    assert torch.equal(dear.gradient_squared, free.gradient_squared)


def test_what_cannot_be_advised_is_refused(build, task):
    model = build("llama")
    said(lambda: advise_heads(model, task, [], SOURCE), "0 of the target")
    said(lambda: advise_heads(model, task, TARGET, SOURCE, damping=0), "damping is 0")
    said(lambda: advise_heads(model, task, TARGET, SOURCE).circuit(99), "99", "12 heads")


def test_advice_is_kept_whole_and_picks_heads_by_the_rule_advised(build, task):
    model = build("qwen2")
    advice = advise_heads(model, task, TARGET, SOURCE)
    ranking = Ranking.parse(
        advice.ranking().csv(), about={"model_type": "qwen2", "target": "javanese", "n": 9}
    )
    assert ranking.rows == advice.ranking().rows and ranking.order == advice.order()
    assert torch.equal(ranking.table("gradient"), advice.gradient) and torch.equal(
        ranking.table("fisher"), advice.fisher
    )
    assert torch.equal(ranking.table("value"), advice.values)
    scores = made(
        [[float(head) for head in range(4)]] * 3, model_type="qwen2", n_layers=3, n_heads=4
    )
    for given in (advice, ranking):
        circuit = ctsft.select(scores, "advised", k=3, advice=given)
        assert (
            circuit.heads == set(advice.order(3)) == advice.circuit(3).heads
            and circuit.why == advice.circuit(3).why
        )
    assert (
        circuit.rule["advice"] == {"name": "advised", "k": 0, "target": "javanese", "n": 9}
        and circuit.rule["k"] == 3
    )
    assert ctsft.select(scores, "advised", fraction=0.25, advice=ranking).heads == circuit.heads
    # it is not relevance under another name
    assert ctsft.select(scores, "top", k=3).heads != circuit.heads
    said(
        lambda: ctsft.select(scores, "advised", k=3),
        "cannot be computed from relevance",
        "advise_heads",
    )
    smaller = made([[0.0] * 4] * 2, model_type="qwen2", n_layers=2, n_heads=4)
    said(
        lambda: ctsft.select(smaller, "advised", k=1, advice=ranking),
        "advice belongs to another model",
        "n_layers",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "KeyError"),
        ("layer,head,value,gradient,fisher,rank\n0,x,1,1,1,1\n", "ValueError"),
        ("layer,head,value,gradient,fisher,rank\n0,1,1,1,1,1\n", "every head once"),
        ("", "every head once"),
        ("layer,head,value,gradient,fisher,rank\n0,0,1,1,1,1\n0,0,1,1,1,2\n", "every head once"),
    ],
)
def test_a_file_that_is_no_advice_is_refused(text, says):
    said(lambda: Ranking.parse(text, "mine.csv"), "mine.csv", says)
