"""Costs before they are paid: operations by hand, bounds that are kept, and the command."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ctsft import label_balanced_means, score_heads
from ctsft.attribution.cost_estimate import (
    estimate_cost,
    estimate_shape,
    forward_operations,
    pass_operations,
)
from ctsft.cli.main import main
from ctsft.model.batching import pad
from ctsft.model.footprint import Shape
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.utils.units import duration_text
from support.tasks import agreed, write_task
from support.tiny import tiny


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_operations_of_a_forward_pass_are_torchs_count(loaded, family):
    model = loaded[family]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        readout_logits(model.hf, pad([list(range(9))], "cpu"))
    counted = counter.get_total_flops()
    # torch counts no fused attention on a CPU
    assert forward_operations(Shape.of(model), 9) == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_operations_of_a_pass_are_torchs_count(loaded, task, family):
    model = loaded[family]
    pool = agreed(model, task, 1)
    means = label_balanced_means(model, task, pool)
    lengths = [len(task.encode(model, row)) for row in pool]
    with FlopCounterMode(display=False) as counter:
        score_heads(model, task, pool, means, batch_tokens=max(lengths))
    assert pass_operations(Shape.of(model), lengths) == pytest.approx(
        counter.get_total_flops(), rel=0.3
    )


def test_more_texts_and_longer_ones_cost_more(loaded):
    shape = Shape.of(loaded["llama"])
    assert (
        pass_operations(shape, [10] * 4)
        == 2 * pass_operations(shape, [10] * 2)
        < pass_operations(shape, [20] * 2)
    )
    atp, ig, cdt, ablation = (
        pass_operations(shape, [10], method) for method in ("atp", "ig", "cdt", "ablation")
    )
    assert atp < ig and cdt < ablation * 1.5


@pytest.mark.parametrize("method", ["cdt", "atp", "ig", "ablation"])
def test_an_estimate_has_sizes_that_can_be(loaded, method):
    estimate = estimate_cost(loaded["qwen2"], [[5] * 9, [7] * 12, [8] * 9], method)
    assert (
        estimate.operations > 0 and 0 < estimate.seconds < 60 and 10**8 < estimate.memory < 10**11
    )
    assert estimate.rate == pytest.approx(estimate.operations / estimate.seconds)
    assert "estimates" in estimate.text() and estimate.row()["estimate"] is True


def test_a_model_without_weights_can_be_estimated():
    with torch.device("meta"):
        model = Model(tiny.__globals__["HEADS"]["causal"].from_config(tiny("llama").config), None)
    estimate = estimate_shape(Shape.of(model, "cuda"), model.n_params, [45] * 50, gflops=1000)
    assert (
        estimate.seconds == pytest.approx(estimate.operations / 1e12)
        and estimate.memory > model.n_params * 4
    )


def test_the_command(folders, tmp_path, capsys):
    path = write_task(tmp_path / "data")
    assert (
        main(
            [
                "estimate",
                "--model",
                str(folders["qwen2"]),
                "--task",
                str(path),
                "--size",
                "6",
                "--device",
                "cpu",
                "--json",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["examples"] == 6
    assert (
        main(
            [
                "estimate",
                "--model",
                str(folders["qwen2"]),
                "--task",
                str(path),
                "--max-memory",
                "1MB",
                "--device",
                "cpu",
            ]
        )
        == 2
    )
    assert "1 MB is not enough" in capsys.readouterr().err


def test_times_in_words():
    assert [duration_text(value) for value in (0.4, 42, 190, 9000)] == [
        "0.4 s",
        "42 s",
        "3.2 min",
        "2.5 h",
    ]
