"""The surrogate of faithfulness: on a planted function that it can learn, on one that it cannot,
and against the measurement on a tiny model.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from ctsft.attribution.means import label_balanced_means
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.faithfulness import faithfulness
from ctsft.circuit.held_out_sets import HeldOutSets
from ctsft.circuit.kernel_fit import (
    best_start,
    fit_process,
    loss_and_gradient,
    principal_components,
    to_kernel,
    to_numbers,
)
from ctsft.circuit.mask_design import draw_masks
from ctsft.circuit.mask_kernel import Kernel, Process
from ctsft.circuit.measured_sets import MEASURES, MeasuredSets
from ctsft.circuit.set_meter import SetMeter
from ctsft.circuit.surrogate import FaithfulnessSurrogate, whole_rows
from support.errors import said
from support.tasks import agreed

SHAPE, ROWS, LABELS = (4, 5), 24, 3
N_HEADS = SHAPE[0] * SHAPE[1]


def planted(masks: np.ndarray, near: np.ndarray) -> MeasuredSets:
    """Few heads carry the task, two of them only together, and the sum of all saturates."""
    draw = np.random.default_rng(5)
    effects = np.zeros(N_HEADS)
    effects[[3, 7, 11, 14]] = 1.0, 0.7, 0.5, -0.4
    total = np.tanh(masks @ effects + 0.8 * (masks[:, 3] & masks[:, 18]))
    gold, ease = np.arange(ROWS) % LABELS, draw.uniform(0.2, 1.8, ROWS)
    logits = draw.normal(0, 0.3, (ROWS, LABELS)) + np.zeros((len(masks), ROWS, LABELS))
    logits[:, np.arange(ROWS), gold] += total[:, None] * ease
    return MeasuredSets(SHAPE, masks, logits.astype(np.float32), gold, near)


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rankings = [np.random.default_rng(1).permutation(N_HEADS).tolist() for _ in range(2)]
    masks, near = draw_masks(rankings, N_HEADS, count, seed)
    ends = np.stack([np.zeros(N_HEADS, bool), np.ones(N_HEADS, bool)])
    return np.concatenate([ends, masks]), np.concatenate([[False, False], near])


@pytest.fixture(scope="module")
def fitted() -> FaithfulnessSurrogate:
    return FaithfulnessSurrogate.fit(planted(*drawn(150, 0)), {"model": "planted"})


@pytest.fixture(scope="module")
def unseen() -> MeasuredSets:
    return planted(*drawn(120, 9))


def heads_of(mask: np.ndarray) -> set:
    return {divmod(int(head), SHAPE[1]) for head in mask.nonzero()[0]}


@pytest.mark.parametrize("measure", MEASURES)
def test_unseen_circuits_are_predicted_within_their_intervals(fitted, unseen, measure):
    truth = unseen.faithfulness(unseen.outputs)[measure][2:]
    known = [fitted.predict(heads_of(mask), measure) for mask in unseen.masks[2:]]
    of = np.array([(one.value, one.low, one.high) for one in known if not one.measured])
    truth = truth[[not one.measured for one in known]]
    assert np.abs(of[:, 0] - truth).mean() < 0.06 and len(truth) > 100
    inside = (of[:, 1] - 1e-9 <= truth) & (truth <= of[:, 2] + 1e-9)
    assert 0.8 <= inside.mean() <= 1 and np.median(of[:, 2] - of[:, 1]) < 0.3
    assert fitted.quality(measure)["r2"] > 0.9


def test_what_cannot_be_learned_gets_a_wide_interval(unseen):
    sets = planted(*drawn(150, 0))
    order = np.r_[0, 1, 2 + np.random.default_rng(0).permutation(len(sets.masks) - 2)]
    shuffled = FaithfulnessSurrogate.fit(replace(sets, logits=sets.logits[order]))
    assert shuffled.quality("margin")["r2"] < 0.3
    known = [shuffled.predict(heads_of(mask)) for mask in unseen.masks[2:]]
    truth = unseen.faithfulness(unseen.outputs)["margin"][2:]
    width = np.median([one.high - one.low for one in known if not one.measured])
    assert width > 0.5 and np.abs([one.value for one in known] - truth).mean() > 0.15


def test_heads_that_carry_the_task_get_the_weight(fitted):
    weights = fitted.process.kernel.weights
    assert set(np.argsort(-weights)[:3].tolist()) <= {3, 7, 11, 14, 18} and weights.min() > 0


def test_the_gradient_of_the_error_is_that_of_differences():
    masks, near = drawn(40, 0)
    outputs = principal_components(planted(masks, near).outputs)
    draw = np.random.default_rng(2)
    start = to_numbers(Kernel(np.ones(N_HEADS), (0.5, 0.2, 1.0, 0.4), 1e-2))
    numbers, step = start + draw.normal(0, 0.3, len(start)), draw.normal(size=len(start))
    ahead, behind = (
        loss_and_gradient(numbers + sign * 1e-5 * step, masks, outputs)[0] for sign in (1, -1)
    )
    _, gradient = loss_and_gradient(numbers, masks, outputs)
    assert (ahead - behind) / 2e-5 == pytest.approx(float(gradient @ step), rel=1e-5)
    again = to_kernel(start)
    assert again.terms == pytest.approx((0.5, 0.2, 1.0, 0.4)) and (again.weights == 1).all()


def test_the_learned_kernel_errs_less_than_equal_weights():
    sets = planted(*drawn(150, 0))
    unseen = planted(*drawn(120, 9))
    equal = best_start(sets.masks, principal_components(sets.outputs))
    errors = [
        np.abs(process.predict(unseen.masks)[0] - unseen.outputs).mean()
        for process in (
            fit_process(sets.masks, sets.outputs),
            Process(equal, sets.masks, sets.outputs),
        )
    ]
    assert errors[0] < 0.6 * errors[1]


def test_accuracy_is_expected_where_rows_are_close():
    """A row that is right by a hair, and held-out errors that turn it over in one set of two."""
    sets = MeasuredSets(
        (1, 1), np.array([[False], [True]]), np.zeros((2, 1, 2)), np.array([0]), np.ones(2, bool)
    )
    held_out = HeldOutSets(
        np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0.1, 0.1]), np.array([0.5, 0.5])
    )
    close, clear = np.array([0.1, -0.1]), np.array([3.0, -3.0])
    assert held_out.expected_accuracy(sets, close, 0.5, 0.1) == 0.5
    assert held_out.expected_accuracy(sets, close, 0.01, 0.1) == 1.0, "much is known of this set"
    assert held_out.expected_accuracy(sets, clear, 99.0, 0.1) == 1.0, "at most doubled"


def test_an_interval_by_accuracy_ends_at_whole_rows():
    assert whole_rows(0.09, 0.41, 0.1) == pytest.approx((0.1, 0.4))
    assert whole_rows(0.1, 0.4, 0.1) == pytest.approx((0.1, 0.4))
    assert whole_rows(0.33, 0.39, 0.1) == pytest.approx((0.4, 0.4))
    assert whole_rows(-0.31, -0.09, 0.1) == pytest.approx((-0.3, -0.1))


def test_a_measured_circuit_is_answered_with_its_measurement(fitted):
    values = fitted.sets.faithfulness(fitted.sets.outputs)
    for number in (0, 1, 40):
        known = fitted.predict(heads_of(fitted.sets.masks[number]), "accuracy")
        assert known.measured and known.low == known.value == known.high
        assert known.value == pytest.approx(values["accuracy"][number])
    assert fitted.predict((), "margin").value == 0
    assert not fitted.predict(heads_of(~fitted.sets.masks[40]), "margin").measured


def test_it_comes_back_from_its_file(fitted, unseen, tmp_path):
    path = tmp_path / "surrogate.safetensors"
    fitted.save(path)
    again = FaithfulnessSurrogate.load(path)
    assert again.about == {"model": "planted"} and again.measures == list(MEASURES)
    for mask, measure in product(unseen.masks[2:8], MEASURES):
        one, other = (of.predict(heads_of(mask), measure) for of in (fitted, again))
        assert (one.value, one.low) == pytest.approx((other.value, other.low))
    path.write_bytes(path.read_bytes()[:-3])
    said(lambda: FaithfulnessSurrogate.load(path), "The surrogate file", "cannot be used")


def test_what_it_cannot_answer_is_refused(fitted):
    said(lambda: fitted.predict([(4, 0)]), "L4.H0", "4 layers with 5 heads")
    said(lambda: fitted.predict([], "loss"), "'loss'", "accuracy, margin")
    few = planted(*drawn(10, 0))
    said(lambda: FaithfulnessSurrogate.fit(few), f"{len(few.masks)} measured circuits", "24")


def test_without_a_difference_to_explain_a_measure_is_left_out():
    sets = planted(*drawn(60, 0))
    sets.logits[:, :, :] = sets.logits[:1] * 0.5
    sets.logits[1:, np.arange(ROWS), sets.gold] += 1e-3
    same = FaithfulnessSurrogate.fit(sets)
    assert same.measures == ["margin"]
    said(lambda: same.predict([], "accuracy"), "choose from margin")


def test_the_drawn_sets_differ_and_most_are_near_a_ranking():
    ranking = list(range(40))[::-1]
    masks, near = draw_masks([ranking], 40, 100, 3)
    assert len({mask.tobytes() for mask in masks}) == len(masks) == 100
    assert 0.7 < near.mean() < 0.9 and masks.sum(1).min() > 0 and masks.sum(1).max() < 40
    again, _ = draw_masks([ranking], 40, 100, 3)
    other, _ = draw_masks([ranking], 40, 100, 4)
    assert (masks == again).all() and not np.array_equal(masks, other)

    def share_in_order(chosen):
        return np.mean([mask[-int(mask.sum()) :].mean() for mask in chosen if 0 < mask.sum() < 20])

    assert share_in_order(masks[near]) > share_in_order(masks[~near]) + 0.1
    assert len(draw_masks([[0, 1]], 2, 100)[0]) == 2, "no more sets than a model has"


def test_sets_are_measured_as_circuits_are_and_only_once(loaded, task, home, monkeypatch):
    model, rows = loaded["qwen2"], agreed(loaded["qwen2"], task, each=6)
    means = label_balanced_means(model, task, rows)
    meter = SetMeter(model, task, rows, means, cache=True)
    ranking = model.heads
    *_, sets = meter.measure([ranking], 8)
    assert len(sets.masks) == 8
    monkeypatch.setattr(SetMeter, "of_set", None)  # nothing is measured again
    *_, again = meter.measure([ranking], 8)
    assert (again.logits == sets.logits).all()
    ratios = sets.faithfulness(sets.outputs)
    for number in (2, 5):
        layers, heads = sets.masks[number].reshape(sets.shape).nonzero()
        circuit = Circuit(frozenset(zip(layers.tolist(), heads.tolist(), strict=True)))
        report = faithfulness(model, task, circuit, rows, means)
        assert ratios["margin"][number] == pytest.approx(report.margin, abs=1e-4)
        assert "accuracy" not in ratios or ratios["accuracy"][number] == report.accuracy
