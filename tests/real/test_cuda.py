"""Every family on a GPU gives the CPU's numbers; training there changes what it says, and can be
repeated and resumed to the bit.
"""

import pytest
import torch

from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.attribution.variants import DEFAULT_VARIANTS, VARIANTS
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.faithfulness import faithfulness
from ctsft.model.loading import load_model, wrap
from ctsft.tuning.finetune import Watch, finetune
from oracle.comparison import ROWS
from support.tasks import cued
from support.tiny import FAMILIES, tiny
from support.training import CIRCUIT, HEADS, QUICK, bits, may_move, stopping, timeless, trespassers

if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device", allow_module_level=True)
DEVICE = "cuda"
# as a share of the largest score: Hugging Face casts to float32 here and there in any model
TOLERANCE = 1e-5


def pair(family: str, tokenizer):
    """The same float64 model on the GPU and on the CPU."""
    return [
        wrap(tiny(family, vocab_size=len(tokenizer)).double().to(device), tokenizer, family)
        for device in (DEVICE, "cpu")
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", DEFAULT_VARIANTS)
def test_scores_are_those_of_the_cpu(tokenizer, task, family, name):
    variant, values = VARIANTS[name], []
    for model in pair(family, tokenizer):
        means = label_balanced_means(model, task, ROWS)
        scores = score_heads(model, task, ROWS, means, variant.method, **variant.settings)
        values.append(scores.per_example.double().cpu())
    assert torch.isfinite(values[0]).any()
    assert torch.equal(values[0].isnan(), values[1].isnan())
    difference = (values[0] - values[1]).abs().nan_to_num().max()
    assert difference <= TOLERANCE * values[1].abs().nan_to_num().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_faithfulness_is_that_of_the_cpu(tokenizer, task, family):
    raw = []
    for model in pair(family, tokenizer):
        means = label_balanced_means(model, task, ROWS)
        raw.append(faithfulness(model, task, Circuit(HEADS), cued(9), means).raw)
    for which, measures in raw[1].items():
        assert raw[0][which] == pytest.approx(measures, abs=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_training_changes_only_what_it_says_and_repeats_to_the_bit(folders, task, family):
    runs = []
    for _ in range(2):
        model = load_model(folders[family], DEVICE)
        before = bits(model.hf)
        history = finetune(model, task, CIRCUIT, cued(12), {"target": cued(9, 1)}, QUICK).history
        assert trespassers(before, bits(model.hf), may_move(model.hf, HEADS)) == []
        assert any((value != before[name]).any() for name, value in bits(model.hf).items())
        runs.append((timeless(history), bits(model.hf)))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(value, runs[1][1][name]) for name, value in runs[0][1].items())


def test_a_stopped_run_resumes_to_the_bit(folders, task, tmp_path):
    def run(**watch):
        model = load_model(folders["qwen2"], DEVICE)
        finetune(model, task, CIRCUIT, cued(12), {}, QUICK, Watch(**watch))
        return bits(model.hf)

    whole, stopped = run(), run(folder=tmp_path, stop=stopping(4))
    assert any((value != stopped[name]).any() for name, value in whole.items())
    resumed = run(folder=tmp_path, resume=True)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
