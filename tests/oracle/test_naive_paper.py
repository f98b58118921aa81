"""The oracle's rules against arithmetic on paper."""

import math

import pytest
import torch

from oracle import naive
from oracle.naive_forward import pattern, rotate
from oracle.naive_net import ACTIVATIONS, Layer, Rope
from oracle.naive_paper import STEPS, paper


def pair(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def near(part, *numbers):
    return part.tolist() == pytest.approx(list(numbers), rel=1e-7, abs=1e-7)


def test_rules_on_paper():
    r, i = naive.sign_clash(pair(-3, 1, 2, 2), pair(1, -3, 3, -2))
    assert near(r, -2, 0, 2, 0) and near(i, 0, -2, 3, 0)
    # (1, 0) and (2, -4) by identity, bias (6, 5): shared 1 : 2 and 0 : 4
    r, i = naive.linear_rule(
        pair(1, 0), pair(2, -4), naive.Linear(torch.eye(2).double(), pair(6, 5))
    )
    assert near(r, 3, 0) and near(i, 6, 1)
    # the total (1, 7) has mean square (1 + 49) / 2 = 25, so everything is divided by 5
    r, i = naive.norm_rule(
        pair(1, 2), pair(0, 5), naive.Norm(pair(5, 10), None, 0.0, centred=False)
    )
    assert near(r, 1, 4) and near(i, 0, 10)
    relu = ACTIVATIONS["relu"]  # irrel: relu(-2) = 0; rel: relu(3 - 2) - 0 = 1, not relu(3)
    assert near(torch.stack(naive.activation_rule(pair(3), pair(-2), relu)).flatten(), 1, 0)
    # irrel: 2 * 4 = 8; rel: (1 + 2)(3 + 4) - 8 = 13
    assert near(
        torch.stack(naive.gated_rule(pair(1), pair(2), pair(3), pair(4), relu)).flatten(), 13, 8
    )


def test_caps_angles_and_spans_on_paper():
    # capped at 2: 2 * tanh(atanh(1/2)) = 1 against 0
    keys = pair(2 * math.atanh(0.5), 0)[:, None]
    plain = dict.fromkeys(("attn", "q", "k", "v", "o", "mlp", "up", "down"))
    p = pattern(pair(2), keys, Layer(**plain, scale=0.5, cap=2.0))
    assert near(p, math.e / (1 + math.e), 1 / (1 + math.e))
    assert near(
        pattern(pair(2), keys / 2, Layer(**plain, scale=math.log(3) / math.atanh(0.5) / 2)),
        0.75,
        0.25,
    )
    # position 1, theta 1: coordinates 0 and 1 turn by one radian, 2 and 3 stay
    turned = rotate(pair(1, 0, 5, 6, 1, 0, 5, 6).reshape(2, 1, 4), Rope(1.0, 2))
    assert near(turned.flatten(), 1, 0, 5, 6, math.cos(1), math.sin(1), 5, 6)
    # two heads of one coordinate, (1, 7): the mean square over both is 25, over each 1 and 49
    heads = pair(1, 7).reshape(1, 2, 1)
    for gain, parts in ((pair(5, 10), (1, 14)), (pair(5), (5, 5))):
        norm = naive.Norm(gain, None, 0.0, centred=False)
        assert near(
            naive.norm_rule(naive.by_span(heads, norm), 0 * naive.by_span(heads, norm), norm)[
                0
            ].flatten(),
            *parts,
        )


@pytest.mark.parametrize(
    ("attention", "positions", "rel", "z"),
    [
        ("softmax", "all", 180, 22.25),
        ("frozen", "all", 158, 19.5),
        ("frozen", "readout", 58, 7),
    ],
)
def test_paper_case(attention, positions, rel, z):
    hf, how = paper(), {"attention": attention, "positions": positions}
    done = naive.decompose(hf, [0, 1], 0, 0, pair(2), **how)
    assert near(done.rel_logits, rel, -rel, rel) and near(
        done.irrel_logits, 855 - rel, rel - 855, 855 - rel
    )
    assert near(done.rel_z[1, 0], z) and near(done.rel_z[1, 1], -z)
    assert set(naive.decompose(hf, [0, 1], 0, 0, pair(2), targets=[(1, 1)], **how).rel_z) == {
        (1, 1)
    }
    assert naive.relevance(hf, [0, 1], 0, [0, 1], 0, 0, pair(2), **how) == pytest.approx(2 * rel)
    # gold 1 against the mean of tokens 0 and 2: -rel - (rel + rel) / 2
    assert naive.relevance(hf, [0, 1], 1, [0, 1, 2], 0, 0, pair(2), **how) == pytest.approx(
        -2 * rel
    )
    assert naive.magnitude(hf, [0, 1], [0, 1], 0, 0, pair(2), **how) == pytest.approx(
        rel / (855 - rel)
    )
    # L1.H0 writes (4 z, 0), L1.H1 writes (0, -4 z); v / |v| = (1, -1) / sqrt 2; layer 0 is not
    # later than the source
    targets = [(1, 0), (1, 1), (0, 1), (0, 0)]
    score = naive.head_target_relevance(hf, [0, 1], 0, [0, 1], (0, 0), targets, pair(2), **how)
    assert score == pytest.approx(2 * (4 * z / 2**0.5) / 4)


@pytest.mark.parametrize(("step", "rel", "irrel"), STEPS)
def test_paper_steps(step, rel, irrel):
    parts = {name: part for name, *part in naive.decompose(paper(), [0, 1], 0, 0, pair(2)).steps}
    assert near(parts[step][0].flatten(), *rel) and near(parts[step][1].flatten(), *irrel)


def test_means_on_paper():
    """z of L0.H0: text (0, 1) 3, 1; text (0) 3; text (1, 1) -1, -1. Label a: (2 + 3) / 2; balanced
    with b: .75.
    """
    texts, labels = [[0, 1], [0], [1, 1]], ["a", "a", "b"]
    balanced, each = naive.label_balanced_means(paper(), texts, labels)
    assert near(each["a"][0, 0], 2.5) and near(each["b"][0, 0], -1) and near(balanced[0, 0], 0.75)
    # z 1, 3, -1
    balanced, each = naive.label_balanced_means(paper(), texts, labels, positions="readout")
    assert near(each["a"][0, 0], 2) and near(balanced[0, 0], 0.5)
