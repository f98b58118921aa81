"""The controls of holding (quadratic term, pull without Fisher information, divergence, replay)
against literal implementations in float64, each with a control that is another model.
"""

import random
from collections import Counter

import pytest
import torch

from ctsft import Circuit, TuneConfig, Watch, finetune
from ctsft.tuning import trainer as tuning_trainer
from ctsft.tuning.replayed_rows import MixedRows
from ctsft.tuning.source_keeping import SourceKeeping
from ctsft.tuning.source_terms import DivergenceTerm
from support.errors import said
from support.naive_tuning import farthest, float64, masks_of, naive_tuning
from support.tasks import cued
from support.training import HEADS, bits, may_move, same, stopping, trespassers

CIRCUIT = Circuit(HEADS)
ROWS, SOURCE = cued(12), cued(10, seed=5)
BASE = TuneConfig(epochs=4, learning_rate=1e-2, batch_size=12)
WAYS = [{"ewc": 3.0}, {"l2": 2.0}, {"kl": 5.0}, {"hold": 4.0, "l2": 1.0, "ewc": 0.5}]


@pytest.mark.parametrize("what", ["full", CIRCUIT])
@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_its_formula_to_1e_6(build, task, what, way):
    config = BASE.model_copy(update=way)
    model, literal, free = (float64(build("qwen2")) for _ in range(3))
    finetune(model, task, what, ROWS, {}, config, source=SOURCE)
    naive_tuning(literal, task, masks_of(literal, what), config, SOURCE, [ROWS] * 4)
    assert farthest(model, literal) < 1e-6
    naive_tuning(free, task, masks_of(free, what), BASE, SOURCE, [ROWS] * 4)
    assert farthest(model, free) > 1e-4


@pytest.mark.parametrize("way", [{"ewc": 3.0}, {"kl": 5.0}])
def test_a_term_counts_once_in_a_step_of_several_batches(build, task, way):
    """The texts of the divergence are drawn for each batch; with one text there is nothing to
    draw. With 12 and 10 rows, so that the last batch is smaller.
    """
    for rows in (ROWS, ROWS[:10]):
        config = BASE.model_copy(update=way | {"batch_size": 4, "accumulate": 3})
        model, literal = (float64(build("llama")) for _ in range(2))
        finetune(model, task, CIRCUIT, rows, {}, config, source=SOURCE[:1])
        naive_tuning(literal, task, masks_of(literal, CIRCUIT), config, SOURCE[:1], [rows] * 4)
        assert farthest(model, literal) < 1e-6


def test_source_rows_are_replayed_among_as_many_rows_as_before(build, task):
    """Each epoch reads 12 of the shuffled 12 + 6 rows, the next where the last one ended."""
    config = BASE.model_copy(update={"replay": 6, "epochs": 3})
    model, literal, other = (float64(build("qwen2")) for _ in range(3))
    finetune(model, task, "full", ROWS, {}, config, source=SOURCE)
    keeping = SourceKeeping.of(literal, task, SOURCE, list, config)
    assert len(keeping.replayed) == 6 and set(keeping.replayed) < set(SOURCE)
    mixed, order = [*ROWS, *keeping.replayed], []
    for number in range(2):
        order += random.Random(f"31 {number}").sample(range(18), 18)
    batches = [[mixed[i] for i in order[at : at + 12]] for at in (0, 12, 24)]
    naive_tuning(literal, task, masks_of(literal, "full"), config, SOURCE, batches)
    assert farthest(model, literal) < 1e-6
    naive_tuning(other, task, masks_of(other, "full"), config, SOURCE, [ROWS] * 3)
    assert farthest(model, other) > 1e-3


def test_replay_changes_neither_steps_nor_the_number_of_rows(build, task, monkeypatch):
    read, collate = [], tuning_trainer.collate

    def counted(model):
        batch_of = collate(model)
        return lambda rows: read.append([tuple(ids) for ids, _ in rows]) or batch_of(rows)

    monkeypatch.setattr("ctsft.tuning.finetune.collate", counted)
    sizes = []
    for replay in (0, 9):
        read.clear()
        config = BASE.model_copy(update={"replay": replay, "batch_size": 5, "epochs": 7})
        history = finetune(build("llama"), task, CIRCUIT, ROWS, {}, config, source=SOURCE).history
        sizes.append(([len(rows) for rows in read], history[-1]["steps"]))
    assert sizes[0] == sizes[1] == ([5, 5, 2] * 7, 21)
    counts = Counter(ids for rows in read for ids in rows)
    # 84 rows of 21: each four times
    assert set(counts.values()) == {4} and len(counts) == 21


def test_an_epoch_of_mixed_rows_depends_on_its_number_alone():
    rows = MixedRows(5, 8, seed=1)
    orders = []
    for epoch in range(3):
        rows.set_epoch(epoch)
        orders.append(list(rows))
    assert sorted(orders[0] + orders[1][:3]) == list(range(8)) and orders[0] != orders[1]
    again = MixedRows(5, 8, seed=1)
    again.set_epoch(2)
    assert list(again) == orders[2] and list(MixedRows(5, 8, seed=2)) != orders[0]


@pytest.mark.parametrize("way", [{"replay": 6}, {"kl": 5.0}, {"ewc": 1.0, "l2": 1.0}])
def test_a_run_that_keeps_the_source_is_resumed_to_the_same_bits(build, task, tmp_path, way):
    whole, first, second = (build("gpt2") for _ in range(3))
    config = BASE.model_copy(update=way | {"batch_size": 4, "eval_every": 2, "precision": "bf16"})
    before, masks = bits(whole.hf), may_move(whole.hf, HEADS)
    finetune(whole, task, CIRCUIT, ROWS, {}, config, source=SOURCE)
    halted = Watch(stop=stopping(after=4), folder=tmp_path)
    assert finetune(first, task, CIRCUIT, ROWS, {}, config, halted, SOURCE).stopped
    resumed = Watch(folder=tmp_path, resume=True)
    finetune(second, task, CIRCUIT, ROWS, {}, config, resumed, SOURCE)
    assert same(second, whole) and not same(second, first)
    assert trespassers(before, bits(whole.hf), masks) == []


def test_the_divergence_reads_other_texts_each_step_and_no_labels(build, task):
    model = build("llama")
    config = BASE.model_copy(update={"kl": 1.0})
    prompts = [task.encode(model, row) for row in SOURCE]
    tokens = list(task.label_ids(model).values())
    term = DivergenceTerm(model, model.hf, prompts, tokens, config)
    draws = [term.drawn(step, 4) for step in (0, 0, 1, 1, 2)]
    assert all(len(set(draw)) == 4 for draw in draws)
    assert len({tuple(draw) for draw in draws}) == 5
    # a resumed run begins with a step, and draws what it would have drawn
    again = DivergenceTerm(model, model.hf, prompts, tokens, config)
    assert [again.drawn(1, 4), again.drawn(1, 4)] == draws[2:4]
    # 0 at the checkpoint, above it elsewhere
    assert term(3, 4).item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        model.blocks[0].up.module.weight.mul_(1.5)
    assert term(4, 4).item() > 1e-4


def test_ways_that_need_source_rows_are_refused_without_them(loaded, task):
    for way in ("hold", "replay", "ewc", "kl"):
        config = BASE.model_copy(update={way: 1})
        said(
            lambda config=config: finetune(loaded["llama"], task, CIRCUIT, ROWS, {}, config),
            "rows of the source language",
            "source=",
        )
    many = BASE.model_copy(update={"replay": 11})
    said(
        lambda: finetune(loaded["llama"], task, CIRCUIT, ROWS, {}, many, source=SOURCE),
        "11",
        "at most 10",
    )
