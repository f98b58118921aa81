"""A model that answers with NaN or infinity has no answer: every measurement refuses it."""

import pytest
import torch

from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.scores import Scores
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.faithfulness import faithfulness
from ctsft.circuit.selection import select
from ctsft.model.evaluation import NotFiniteLogits, accuracy, evaluate, label_logits, predict
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.finetune import finetune
from ctsft.tuning.gradients import fisher
from ctsft.tuning.head_advice import advise_heads
from support.errors import said
from support.scores import made
from support.tasks import cued

ROWS = cued(6)


@pytest.fixture(params=[float("nan"), float("inf")], ids=str)
def broken(build, request):
    """A model whose weights were broken after it was checked, as tuning can break them."""
    model = build("qwen2")
    torch.nn.init.constant_(model.hf.model.norm.weight, request.param)
    return model


def means(model, task):
    return label_balanced_means(model, task, ROWS)


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, task: label_logits(model, task, ROWS),
        lambda model, task: predict(model, task, ROWS),
        lambda model, task: accuracy(model, task, ROWS),
        lambda model, task: evaluate(model, task, ROWS),
        lambda model, task: discovery_set(model, task, ROWS, 3),
        lambda model, task: faithfulness(
            model, task, Circuit(frozenset({(0, 0)})), ROWS, means(model, task)
        ),
        lambda model, task: fisher(model, task, ROWS),
        lambda model, task: advise_heads(model, task, ROWS, ROWS),
    ],
)
def test_no_answer_is_made_of_nan(broken, loaded, task, measure):
    with pytest.raises(NotFiniteLogits, match="NaN or infinite for [1-6] of [1-6] texts.*float32"):
        measure(broken, task)
    if measure.__code__.co_names[0] != "discovery_set":  # needs correctly predicted rows
        measure(loaded["qwen2"], task)


def test_a_model_that_is_broken_before_tuning_is_not_told_to_lower_the_rate(broken, task):
    said(
        lambda: finetune(broken, task, "norms", ROWS, {"a": ROWS}, TuneConfig(epochs=1)),
        "before the first step",
        "another checkpoint",
    )


@pytest.mark.parametrize(
    ("value", "everywhere", "word"), [("inf", False, "infinite"), ("nan", True, "only NaN")]
)
def test_stored_scores_that_are_no_numbers_are_refused(tmp_path, value, everywhere, word):
    scores, path = made([[1.0, 2.0]]), tmp_path / "scores.safetensors"
    scores.save(path)
    assert torch.equal(Scores.load(path).per_example, scores.per_example)
    (scores.per_example if everywhere else scores.per_example[0, 0]).fill_(float(value))
    scores.save(path)
    said(lambda: Scores.load(path), word, str(path))


def test_stored_means_that_are_no_numbers_are_refused(tmp_path, loaded, task):
    stored, path = means(loaded["qwen2"], task), tmp_path / "means.safetensors"
    stored.save(path)
    Means.load(path)
    stored.values[0, 0, 0] = float("nan")
    stored.save(path)
    said(lambda: Means.load(path), "NaN", str(path))


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_no_number_is_refused(threshold):
    said(lambda: select(made([[1.0, 2.0]]), "threshold", threshold=threshold), "finite")
