"""Answers stored on disk: the same bits as computed ones, computed again whenever anything that
matters changed, and never in the way.
"""

import dataclasses

import pytest
import torch

from ctsft.attribution import score_heads as attribution_score_heads
from ctsft.attribution.gradient_methods import attribution_patching
from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.cache import entry
from ctsft.circuit.discovery import discover
from ctsft.data.registry import load_task
from ctsft.data.task import Example
from ctsft.model import families
from ctsft.model.model import Model
from support.scores import use_method
from support.stored_answers import POOL, bits, files, from_cache, other_weight
from support.tasks import LABELS, agreed


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("cdt", {}),
        ("cdt", {"targets": [(2, 1), (1, 0)]}),
        ("cdt", {"score": "magnitude", "normalise": "layer"}),
        ("atp", {}),
        ("ablation", {}),
    ],
)
def test_a_hit_has_the_bits_of_the_miss_and_says_so(ask, method, config, monkeypatch):
    plain, first, seen = ask(method, cache=False, **config), ask(method, **config), []
    # nothing is computed from here on
    monkeypatch.setattr(attribution_score_heads, "run_pass", None)
    again = ask(method, progress=lambda done, total: seen.append(done / total), **config)
    assert (
        bits(again.per_example) == bits(first.per_example) == bits(plain.per_example)
        and again.config == first.config
    )
    assert (again.examples, again.labels, again.method, again.about) == (
        first.examples,
        first.labels,
        method,
        first.about,
    )
    assert first.notes == plain.notes == [] and seen == [1]
    assert len(again.notes) == 1 and again.notes[0].startswith(
        "answered from the cache (scored on 20"
    )
    assert torch.isnan(again.per_example).any() == ("targets" in config)


def test_nothing_is_written_unless_asked_for(loaded, task, means, home):
    discovery_set(loaded["qwen2"], task, agreed(loaded["qwen2"], task, 2), 6)
    score_heads(
        loaded["qwen2"], task, POOL, label_balanced_means(loaded["qwen2"], task, POOL), "atp"
    )
    assert not home.exists()


@pytest.mark.parametrize("positions", ["all", "readout"])
def test_means_come_back_as_they_were_and_can_be_saved(loaded, task, positions, tmp_path):
    first, again = (
        label_balanced_means(loaded["gpt2"], task, POOL, positions, cache=True) for _ in range(2)
    )
    assert bits(again.values) == bits(first.values) and {
        name: bits(value) for name, value in again.by_label.items()
    } == {name: bits(value) for name, value in first.by_label.items()}
    assert (again.counts, again.positions) == (first.counts, positions) and list(
        again.by_label
    ) == list(LABELS)
    assert not from_cache(first.notes) and again.notes[0].startswith(
        "answered from the cache (taken on "
    )
    again.save(tmp_path / "means.safetensors")
    assert bits(Means.load(tmp_path / "means.safetensors").values) == bits(first.values)
    other = "readout" if positions == "all" else "all"
    assert label_balanced_means(loaded["gpt2"], task, POOL, other, cache=True).notes == []


def test_the_discovery_set_is_the_same_one_without_predicting_again(loaded, task, monkeypatch):
    model = loaded["qwen2"]
    rows = agreed(model, task, each=4)
    plain, first = (discovery_set(model, task, rows, 6, 1, cache=cache) for cache in (False, True))
    assert discovery_set(model, task, rows, 6, 2, cache=True) != first
    monkeypatch.setattr("ctsft.attribution.pool.predict", None)
    assert discovery_set(model, task, rows, 6, 1, cache=True) == first == plain


def test_discovery_goes_through_the_cache(loaded, task, means, monkeypatch):
    first = discover(loaded["qwen2"], task, POOL, means, 1, 0.2, cache=True)
    assert len(files("scores")) == first.rule["depth"] + 1
    monkeypatch.setattr(attribution_score_heads, "run_pass", None)
    assert discover(loaded["qwen2"], task, POOL, means, 1, 0.2, cache=True) == first


def changed_row(**fields) -> list[Example]:
    return [dataclasses.replace(POOL[0], **fields), *POOL[1:]]


MISSES = {
    "weight": lambda build, task, means: {"model": other_weight(build, "layers.2.mlp.up_proj")},
    "bias": lambda build, task, means: {"model": other_weight(build, "q_proj.bias")},
    "number format": lambda build, task, means: {"model": cast(build("qwen2"))},
    "configuration": lambda build, task, means: {"model": build("qwen2", rms_norm_eps=1e-5)},
    "text": lambda build, task, means: {
        "pool": changed_row(text="good tea", fields={"text": "good tea"})
    },
    "label": lambda build, task, means: {"pool": changed_row(label=LABELS[2])},
    "order": lambda build, task, means: {"pool": POOL[::-1]},
    "fewer": lambda build, task, means: {"pool": POOL[:4]},
    "prompt": lambda build, task, means: {"task": dataclasses.replace(task, prompt="{text} is")},
    "label word": lambda build, task, means: {
        "task": dataclasses.replace(task, labels=("negative", "neutral", "positive", "good"))
    },
    "means": lambda build, task, means: {
        "means": dataclasses.replace(means, values=means.values + 1e-6)
    },
    "method": lambda build, task, means: {"method": "cdt"},
    "positions": lambda build, task, means: {"positions": "readout"},
    "matmul": lambda build, task, means: {},
    "engine": lambda build, task, means: {},
}


def cast(model: Model) -> Model:
    model.hf.to(torch.float64)
    return model


@pytest.mark.parametrize("what", MISSES)
def test_what_changes_a_number_asks_anew(ask, build, task, means, monkeypatch, what):
    ask()
    assert from_cache(ask().notes)
    if what == "engine":
        monkeypatch.setattr(entry, "VERSION", "another")
    if what == "matmul":
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    changes = MISSES[what](build, task, means)
    assert not from_cache(ask(**changes).notes)
    assert from_cache(ask(**changes).notes) and len(files("scores")) == 2


@pytest.mark.parametrize(
    "config",
    [
        {"attention": "frozen"},
        {"rules": "symmetric"},
        {"score": "magnitude"},
        {"targets": [(2, 0)]},
    ],
)
def test_every_setting_of_cdt_asks_anew(ask, config):
    ask("cdt")
    assert not from_cache(ask("cdt", **config).notes) and from_cache(ask("cdt", **config).notes)


def test_what_changes_no_number_is_answered(ask, build, task):
    first = ask()
    # in memory, under another name, with the same weights
    in_memory = build("qwen2")
    renamed = [dataclasses.replace(row, id=f"other-{row.id}") for row in POOL]
    for changes in (
        {"batch_tokens": 30},
        {"max_memory": "8GB"},
        {"model": in_memory},
        {"pool": renamed},
        {"task": dataclasses.replace(task, name="another", targets=())},
    ):
        again = ask(**changes)
        assert from_cache(again.notes) and bits(again.per_example) == bits(first.per_example), (
            changes
        )
    assert (
        ask(batch_tokens=30).config.batch_tokens == 30
        and ask(pool=renamed).examples[0] == "other-0"
    )
    assert ask(model=in_memory).about["model"] == "tiny-qwen2" and len(files("scores")) == 1


def test_a_weight_written_in_place_asks_anew(ask, build):
    model = build("qwen2")
    ask(model=model)
    assert from_cache(ask(model=model).notes)
    with torch.no_grad():
        model.hf.model.layers[1].mlp.down_proj.weight[2, 2] += 1
    assert not from_cache(ask(model=model).notes)


@pytest.mark.parametrize("table", ["families", "methods"])
def test_nothing_is_kept_of_a_family_or_method_of_the_users_own(ask, monkeypatch, table):
    if table == "families":
        monkeypatch.setitem(families.FAMILIES, "qwen2", lambda hf: families.llama(hf))
    else:
        use_method(monkeypatch, "atp", lambda job: attribution_patching(job))
    assert not from_cache(ask().notes) and not from_cache(ask().notes) and files("scores") == []


def test_a_task_of_files_hits_after_it_is_opened_again(subject, loaded, means):
    """The key holds what the model sees, not which objects carried it."""
    notes = [
        score_heads(
            loaded["qwen2"],
            opened,
            opened.load("indonesian", "train")[:5],
            means,
            "atp",
            cache=True,
        ).notes
        for opened in (load_task(subject.task), load_task(subject.task))
    ]
    assert not from_cache(notes[0]) and from_cache(notes[1])
