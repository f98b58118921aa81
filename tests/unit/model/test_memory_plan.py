"""Bounds on memory: sizes in words, plans that fit, halving when memory runs out, and the peak of a
real process.
"""

import json
import os

import pytest
import torch

from ctsft.attribution import methods
from ctsft.attribution.means import label_balanced_means
from ctsft.attribution.score_heads import score_heads
from ctsft.model import activations, memory_plan
from ctsft.model.evaluation import predict
from ctsft.model.footprint import Shape
from ctsft.model.memory_plan import Plan, Workload, candidate_plans
from ctsft.utils import units
from ctsft.utils.errors import UserError
from ctsft.utils.units import parse_bytes
from support.errors import said
from support.processes import start_code
from support.scores import use_method
from support.tasks import examples

POOL = examples(6, seed=9)


GPT2 = Shape(12, 12, 12, 64, 768, 3072, 50257, biased=3072)


EACH = ("cdt", "atp", "ig", "ablation")


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (None, None),
        (4096, 4096),
        ("4096", 4096),
        ("4GB", 4 * 10**9),
        ("4 gb", 4 * 10**9),
        ("1.5MiB", 3 * 2**19),
        ("512 kB", 512_000),
        ("2TiB", 2**41),
    ],
)
def test_sizes_are_read(said, size):
    assert parse_bytes(said) == size


@pytest.mark.parametrize("wrong", ["", "four", "-1GB", "0", 0, -5, "4 GB extra", "4 XB"])
def test_what_is_no_size_is_refused(wrong):
    said(lambda: parse_bytes(wrong), repr(wrong), "4GB")


def test_sizes_are_said():
    assert [units.bytes_text(size) for size in (1_234_567_890, 45_600_000, 1000, 12)] == [
        "1.23 GB",
        "45.6 MB",
        "1 kB",
        "12 bytes",
    ]


@pytest.mark.parametrize("method", EACH)
@pytest.mark.parametrize("pos", [11, 40, 2048])
def test_plans_shrink_to_one_head_of_one_text(method, pos):
    plans = list(candidate_plans(GPT2, Workload(method, pos), 50_000))
    assert all(
        plan.tokens % pos == 0 and plan.tokens >= pos and plan.streams >= pos for plan in plans
    )
    assert (plans[-1].streams, plans[-1].tokens, plans[-1].keep_totals) == (pos, pos, False)
    assert plans[-1].memory == min(plan.memory for plan in plans) < plans[0].memory


def test_a_small_pool_needs_less_than_a_large_one():
    few, many = (next(candidate_plans(GPT2, Workload("cdt", 40, n), 682)) for n in (1, 50))
    assert few.tokens == 40 < many.tokens == 160 and few.memory < many.memory


@pytest.mark.parametrize("method", EACH)
def test_memory_does_not_grow_with_heads_and_examples(method):
    """Twice the heads of the same width in all, and a pool a hundred times as large."""
    more = Shape(12, 24, 24, 32, 768, 3072, 50257, biased=3072)
    one, other = (
        next(candidate_plans(shape, Workload(method, 40, n), 682)).memory
        for shape, n in ((GPT2, 100), (more, 10_000))
    )
    assert abs(one - other) < 0.05 * one


def test_a_plan_halves_to_what_cannot_be_less():
    plan, seen = Plan(64, 32, True, 1000, 10), []
    while plan:
        seen.append((plan.streams, plan.tokens, plan.keep_totals))
        plan = plan.halved()
    assert seen == [(64, 32, True), (32, 16, False), (16, 10, False), (10, 10, False)]


@pytest.mark.parametrize(
    ("n_heads", "streams", "tokens", "size"),
    [(12, 682, 160, 4), (14, 3 * 40, 40, 3), (9, 5 * 40, 40, 5), (12, 40, 80, 1), (0, 9, 9, 1)],
)
def test_heads_are_cut_into_chunks_of_nearly_one_size(n_heads, streams, tokens, size):
    assert memory_plan.chunk_size(n_heads, streams, tokens) == size


@pytest.mark.parametrize("method", EACH)
def test_a_bound_that_is_too_small_is_refused_with_one_that_does(loaded, task, method):
    model, pool = loaded["gpt2"], POOL[:2]
    means = label_balanced_means(model, task, POOL)
    with pytest.raises(
        UserError, match="1 MB is not enough: the model and one text of [0-9]+ tokens need "
    ) as error:
        score_heads(model, task, pool, means, method, max_memory="1MB")
    enough = str(error.value).split(" need ")[1].split(";")[0]
    assert (
        not score_heads(model, task, pool, means, method, max_memory=enough)
        .per_example.isnan()
        .any()
    )


def test_plain_passes_respect_a_bound(loaded, task, monkeypatch):
    model = loaded["qwen2"]
    said(lambda: predict(model, task, POOL, max_memory="1MB"), "1 MB is not enough")
    said(lambda: label_balanced_means(model, task, POOL, max_memory="1MB"), "1 MB is not enough")
    pos = max(len(task.encode(model, row)) for row in POOL)
    monkeypatch.setattr(memory_plan, "memory_in_use", lambda device: 10**6)
    bound = 10**6 + memory_plan.MEMORY_MARGIN + 3 * pos * Shape.of(model).forward_bytes(pos)
    assert (
        memory_plan.forward_tokens(model, pos, bound)
        == 3 * pos
        < memory_plan.forward_tokens(model, pos)
    )
    assert predict(model, task, POOL, max_memory=bound) == predict(model, task, POOL)
    free, tight = (
        label_balanced_means(model, task, POOL, max_memory=size).values for size in (None, bound)
    )
    assert torch.allclose(free, tight, atol=1e-6)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to"
            " get 9 bytes"
        ),
    ],
)
@pytest.mark.parametrize("method", EACH)
def test_out_of_memory_halves_and_goes_on(loaded, task, monkeypatch, method, error):
    model, streams, run = loaded["llama"], [], methods.METHODS[method].run
    means = label_balanced_means(model, task, POOL)
    calm = score_heads(model, task, POOL, means, method)

    def failing(job):
        streams.append(job.plan.streams)
        parts = run(job)
        yield next(parts)
        if len(streams) < 3:
            raise error
        yield from parts

    use_method(monkeypatch, method, failing)
    progress = []
    with pytest.warns(UserWarning, match="Out of memory with"):
        scores = score_heads(model, task, POOL, means, method, lambda *step: progress.append(step))
    assert streams[:3] == [streams[0], streams[0] // 2, streams[0] // 4] or len(streams) > 3
    assert len(scores.notes) == 2 and "continued with" in scores.notes[0] and calm.notes == []
    assert torch.allclose(scores.per_example, calm.per_example, atol=1e-5) and progress[-1][
        0
    ] == pytest.approx(progress[-1][1])


def test_out_of_memory_with_one_text_ends_in_a_sentence(loaded, task, monkeypatch):
    def failing(job):
        raise torch.OutOfMemoryError("never enough")
        yield

    model = loaded["llama"]
    means = label_balanced_means(model, task, POOL)
    use_method(monkeypatch, "cdt", failing)
    with pytest.warns(UserWarning, match="Out of memory"):
        said(lambda: score_heads(model, task, POOL, means), "single text", "shorten the texts")


def test_other_errors_go_on_unchanged(loaded, task, monkeypatch):
    def failing(job):
        raise RuntimeError("a fault of the method")
        yield

    means = label_balanced_means(loaded["llama"], task, POOL)
    use_method(monkeypatch, "cdt", failing)
    with pytest.raises(RuntimeError, match="a fault of the method"):
        score_heads(loaded["llama"], task, POOL, means)
    assert activations.scratch.buffers == {}


CHILD = """
import json, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from ctsft import Example, Means, label_balanced_means, score_heads
from ctsft.model.loading import wrap
from ctsft.model.memory_plan import MEMORY_MARGIN
from ctsft.model.process_memory import memory_in_use

torch.set_num_threads(1)
config = LlamaConfig(
    vocab_size=16384,
    hidden_size=256,
    intermediate_size=1024,
    num_hidden_layers=3,
    num_attention_heads=8,
    num_key_value_heads=4,
)
model, draw = wrap(LlamaForCausalLM(config), None, "random"), torch.Generator().manual_seed(0)

class Words:
    name, labels = "random", ("a", "b", "c")
    def label_ids(self, model):
        return {"a": 11, "b": 12, "c": 13}
    def encode(self, model, row):
        return row.fields["ids"]

def peak():                                                # since the last reset
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

def ids(i):
    return torch.randint(16384, (100 - i % 3,), generator=draw).tolist()

pool = [Example(str(i), "", "abc"[i % 3], {"ids": ids(i)}) for i in range(12)]
means, found = Means(torch.randn(3, 8, 32, generator=draw), {}, {}), []
bound = memory_in_use(model.device) + MEMORY_MARGIN + 40 * 10**6
for n, limit in ((3, bound), (12, bound), (9, None)):
    open("/proc/self/clear_refs", "w").write("5")
    label_balanced_means(model, Words(), pool[:n], max_memory=limit)
    batch_tokens = None if limit else 20000
    score_heads(model, Words(), pool[:n], means, max_memory=limit, batch_tokens=batch_tokens)
    found.append(peak())
print(json.dumps([bound, *found]))
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="the peak of a process is read from Linux's /proc",
)
@pytest.mark.usefixtures("fork_server")
def test_a_process_stays_within_its_bound_and_flat_in_examples(tmp_path):
    code, out, err = start_code(CHILD, tmp_path / "child").wait()
    assert code == 0, err
    bound, few, many, unbounded = json.loads(out.splitlines()[-1])
    assert few <= bound and many <= bound and many <= 1.05 * few
    # the control: with 20,000 token streams in flight the bound does not hold
    assert unbounded > bound
