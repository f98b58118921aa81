"""Answers stored on disk: the same bits as computed ones, computed again whenever anything that
matters changed, and never in the way.
"""

import dataclasses
import json
import multiprocessing
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ctsft.attribution import score_heads as attribution_score_heads
from ctsft.attribution.gradient_methods import attribution_patching
from ctsft.attribution.means import Means, label_balanced_means
from ctsft.attribution.pool import discovery_set
from ctsft.attribution.score_heads import score_heads
from ctsft.cache import entry, store
from ctsft.circuit.discovery import discover
from ctsft.data.registry import load_task
from ctsft.data.task import Example
from ctsft.model import families, fingerprint, model_files
from ctsft.model.loading import load_model
from ctsft.model.model import Model
from ctsft.tuning.masked_training import masked_training
from ctsft.utils import atomic_files
from support.errors import said
from support.hub import publish
from support.imports import imported
from support.scores import use_method
from support.shell import bad
from support.tasks import LABELS, agreed, texts

ROOT = Path(__file__).resolve().parents[3]


POOL = [
    Example(str(i), text, LABELS[i % 3], {"text": text}) for i, text in enumerate(texts(5, seed=9))
]


def bits(tensor: torch.Tensor) -> tuple:
    return tensor.shape, tensor.dtype, tensor.contiguous().flatten().view(torch.uint8).tolist()


def from_cache(notes: list[str]) -> bool:
    return any("answered from the cache" in note for note in notes)


def files(kind: str) -> list[Path]:
    return sorted((store.cache_folder() / kind).glob("*.safetensors"))


@pytest.fixture(scope="session")
def means(loaded, task) -> Means:
    return label_balanced_means(loaded["qwen2"], task, POOL)


@pytest.fixture
def ask(loaded, task, means):
    """Scores of the tiny Qwen2 through the cache; arguments may be changed by name."""

    def call(method="atp", **changes):
        given = {
            "model": loaded["qwen2"],
            "task": task,
            "pool": POOL,
            "means": means,
            "cache": True,
        } | changes
        return score_heads(method=method, **given)

    return call


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
    plain, first = (discovery_set(model, task, rows, 6, 1, cache=kept) for kept in (False, True))
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


def other_weight(build, part: str) -> Model:
    model = build("qwen2")
    with torch.no_grad():
        next(value for name, value in model.hf.named_parameters() if part in name).view(-1)[3] += (
            1e-3
        )
    return model


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
    own = build("qwen2")
    renamed = [dataclasses.replace(row, id=f"other-{row.id}") for row in POOL]
    for changes in (
        {"batch_tokens": 30},
        {"max_memory": "8GB"},
        {"model": own},
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
    assert ask(model=own).about["model"] == "tiny-qwen2" and len(files("scores")) == 1


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


def test_every_part_of_the_engine_counts_in_its_version(tmp_path):
    folder = shutil.copytree(ROOT / "ctsft", tmp_path / "ctsft")
    version = entry.engine_version(folder)
    assert len(version) == len(entry.VERSION) == 16
    for name in entry.ENGINE:
        part = folder / name
        path = next(part.rglob("*.py")) if part.is_dir() else part
        text = path.read_bytes()
        path.write_bytes(text + b"# another\n")
        assert entry.engine_version(folder) != version, name
        path.write_bytes(text)
        if part.is_dir():
            (part / "novel.py").write_text("")
            assert entry.engine_version(folder) != version, name
            (part / "novel.py").unlink()
    (folder / "novel.py").write_text("")
    assert entry.engine_version(folder) == version, (
        "what stands outside of the engine is not a part"
    )


def test_an_engine_that_is_not_where_its_list_says_is_an_error(tmp_path):
    folder = shutil.copytree(ROOT / "ctsft", tmp_path / "ctsft")
    (folder / "empty").mkdir()
    for name in ("gone.py", "empty"):
        with pytest.raises(FileNotFoundError, match=name):
            entry.engine_version(folder, (*entry.ENGINE, name))


def test_the_engine_is_at_least_everything_that_scores_are_computed_with():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in (ROOT / "ctsft").rglob("*.py")
        if path.name != "__init__.py"
    }
    needed, new = set(), {"ctsft.attribution.score_heads"}
    while new:
        needed |= new
        found = {dotted for name in new for dotted in imported(modules[name], "ctsft")}
        new = (found & set(modules)) - needed
    parts = {f"ctsft.{name.removesuffix('.py').replace('/', '.')}" for name in entry.ENGINE}
    outside = {name for name in needed if not any(f"{name}.".startswith(f"{p}.") for p in parts)}
    # what they do decides no number: errors, folders, sizes in words
    assert {name.rpartition(".")[0] for name in outside} == {"ctsft.utils"}
    assert {f"ctsft.attribution.{name}" for name in ("cdt_rules", "methods", "cdt")} <= needed
    assert {"ctsft.cache.entry", "ctsft.model.loading"} <= needed


def spoil(path: Path, how: str):
    data = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "another answer":
        save_file(
            {"per_example": torch.zeros(5, 3, 4)},
            path,
            {"ctsft": json.dumps({"key": "0" * 32, "fields": {"notes": []}})},
        )
    elif how == "no metadata":
        save_file({"per_example": torch.zeros(5, 3, 4)}, path)
    else:
        path.write_bytes(
            {
                "empty": b"",
                "half": data[: len(data) // 2],
                "a byte short": data[:-1],
                "garbage": os.urandom(300),
                "zeros at the end": data[:-20] + bytes(20),
                "a bit": data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
                "huge header": b"\xff" * 7 + b"\x7f" + data,
            }[how]
        )


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "half",
        "a byte short",
        "garbage",
        "zeros at the end",
        "a bit",
        "huge header",
        "another answer",
        "no metadata",
        "folder",
    ],
)
def test_a_torn_or_foreign_file_counts_as_absent(ask, how, recwarn):
    first = ask()
    path = files("scores")[0]
    spoil(path, how)
    again = ask()
    assert not from_cache(again.notes) and bits(again.per_example) == bits(first.per_example)
    assert len(store.stored_answers()) == (how != "folder")  # written again
    assert from_cache(ask().notes) == (how != "folder") and len(recwarn) == (how == "folder")


def locked(monkeypatch):
    """No file can be written or touched; a mode would not stop the superuser."""

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    for module, name in ((atomic_files, "open"), (os, "utime"), (os, "replace"), (Path, "unlink")):
        monkeypatch.setattr(module, name, refuse, raising=False)


def test_a_folder_that_can_only_be_read_still_answers(ask, monkeypatch, recwarn):
    first = ask()
    locked(monkeypatch)
    again = ask()
    assert (
        from_cache(again.notes)
        and bits(again.per_example) == bits(first.per_example)
        and len(recwarn) == 0
    )


@pytest.mark.parametrize("what", ["a file in the way", "a full disk", "read-only"])
def test_what_cannot_be_kept_is_computed_all_the_same_with_one_warning(
    ask, what, home, monkeypatch, recwarn
):
    home.mkdir()
    if what == "a file in the way":
        (home / "cache").write_text("")
    if what == "read-only":
        locked(monkeypatch)
    if what == "a full disk":

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
    plain = ask(cache=False)
    for _ in range(3):
        scores = ask()
        assert not from_cache(scores.notes) and bits(scores.per_example) == bits(plain.per_example)
    assert len(recwarn) == 1 and "results are the same" in str(recwarn[0].message)
    monkeypatch.undo()
    assert [path for path in home.rglob("*") if path.is_file() and path.name != "cache"] == []


def test_the_least_recently_used_go_first(ask, monkeypatch):
    ask()
    size = files("scores")[0].stat().st_size
    monkeypatch.setenv("CTSFT_CACHE_BYTES", str(3 * size + size // 2))
    pools = [POOL[i:] + POOL[:i] for i in range(4)]
    for i, path in enumerate([*files("scores")]):
        os.utime(path, (i, i))
    for pool in pools[1:3]:
        ask(pool=pool)
    # used again: no longer the oldest
    assert from_cache(ask(pool=pools[0]).notes)
    ask(pool=pools[3])
    assert (
        len(files("scores")) == 3
        and sum(path.stat().st_size for path in files("scores")) <= store.size_limit()
    )
    assert [
        from_cache(ask(pool=pool).notes) for pool in (pools[0], pools[2], pools[3], pools[1])
    ] == [True, True, True, False]


def test_the_bound_may_be_nothing_or_too_little_but_has_to_be_a_number(ask, monkeypatch, home):
    for words in ("0", "100"):
        monkeypatch.setenv("CTSFT_CACHE_BYTES", words)
        assert (
            not from_cache(ask().notes)
            and not from_cache(ask().notes)
            and list(home.glob("cache/scores/*")) == []
        )
    monkeypatch.setenv("CTSFT_CACHE_BYTES", "2GB")
    said(ask, "'2GB'", "number of bytes")


def test_what_a_killed_writer_left_is_removed_in_time(ask, home):
    ask()
    old, new = (
        home / "cache" / "scores" / f".{name}.safetensors.1.1.part" for name in ("old", "new")
    )
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    ask(pool=POOL[::-1])
    assert not old.exists() and new.exists() and len(store.stored_answers()) == 2


def hammer(ask, plain, seed: int, out: Path):
    """What one of several processes does: ask for the same answers in its own order, and count
    those that were there.
    """
    draw, hits = random.Random(seed), 0
    for _ in range(40):
        i = draw.randrange(5)
        scores = ask("ablation", pool=POOL[i:] + POOL[:i])
        assert torch.equal(scores.per_example, plain[i])
        hits += from_cache(scores.notes)
    out.write_text(str(hits))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_three_processes_share_a_cache_too_small_for_them(ask, tmp_path, home, monkeypatch):
    """They write, read and delete the same five answers while only three fit; each always gets its
    own bits.
    """
    plain = [ask("ablation", cache=False, pool=POOL[i:] + POOL[:i]).per_example for i in range(5)]
    ask("ablation")
    monkeypatch.setenv("CTSFT_CACHE_BYTES", str(7 * files("scores")[0].stat().st_size // 2))
    monkeypatch.setattr(store, "warn_not_stored", lambda folder, reason: pytest.fail(reason))
    outs, fork = [tmp_path / str(seed) for seed in range(3)], multiprocessing.get_context("fork")
    those = [
        fork.Process(target=hammer, args=(ask, plain, seed, out)) for seed, out in enumerate(outs)
    ]
    for process in those:
        process.start()
    for process in those:
        process.join(200)
    assert [process.exitcode for process in those] == [0, 0, 0] and all(
        0 < int(out.read_text()) < 40 for out in outs
    )
    assert 0 < len(store.stored_answers()) <= 3 and not list(home.rglob("*.part"))


@pytest.fixture
def folder(folders, tmp_path, monkeypatch) -> Path:
    """A model folder whose files count as settled."""
    monkeypatch.setattr(model_files, "SETTLE_TIME", 0.0)
    return shutil.copytree(folders["qwen2"], tmp_path / "model")


def test_a_second_process_does_not_hash_a_folder_again(folder, loaded, monkeypatch):
    first = fingerprint.cached_fingerprint(load_model(folder, device="cpu"))
    assert first == loaded["qwen2"].fingerprint
    monkeypatch.setattr(fingerprint, "weights_hash", None)
    assert (
        fingerprint.cached_fingerprint(load_model(folder, device="cpu")) == first
        and load_model(folder, device="cpu").loaded_from
    )


def test_a_changed_file_changes_the_fingerprint(folder, build):
    first = fingerprint.cached_fingerprint(load_model(folder, device="cpu"))
    stat = (folder / "model.safetensors").stat()
    other_weight(build, "layers.0").hf.save_pretrained(folder)
    assert (folder / "model.safetensors").stat().st_size == stat.st_size
    # size and time as before
    os.utime(folder / "model.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    model = load_model(folder, device="cpu")
    assert fingerprint.cached_fingerprint(model) == fingerprint.weights_hash(model.hf) != first
    assert fingerprint.cached_fingerprint(
        load_model(folder, device="cpu", dtype="float64")
    ) not in (
        first,
        model.fingerprint,
    )


def test_a_hub_model_is_known_by_its_commit(hub, folders, monkeypatch):
    publish(hub, folders["qwen2"], "some/cached-qwen")
    # its configuration came first, and named the commit
    assert load_model("some/cached-qwen", device="cpu").source_files
    first = load_model("some/cached-qwen", device="cpu")
    assert (
        first.source_files[:2] == ["hub", "some/cached-qwen"] and len(first.source_files[2]) == 40
    )
    known = fingerprint.cached_fingerprint(first)
    monkeypatch.setattr(fingerprint, "weights_hash", None)
    assert fingerprint.cached_fingerprint(load_model("some/cached-qwen", device="cpu")) == known


def test_files_written_just_now_are_hashed(folder, monkeypatch):
    monkeypatch.setattr(model_files, "SETTLE_TIME", 1000.0)
    assert load_model(folder, device="cpu").source_files is None


def test_a_model_tuned_in_place_is_hashed_again(folder):
    model = load_model(folder, device="cpu")
    first = fingerprint.cached_fingerprint(model)
    again = load_model(folder, device="cpu")
    with masked_training(again, [(1, 1)]), torch.no_grad():
        # before its fingerprint was ever asked for
        again.hf.trained_slices.weights["0"].mul_(2)
    assert (
        again.source_files is None
        and fingerprint.cached_fingerprint(again) == fingerprint.weights_hash(again.hf) != first
    )
    with torch.no_grad():
        model.hf.model.norm.weight.mul_(2)
    assert fingerprint.cached_fingerprint(model) == fingerprint.weights_hash(model.hf) != first


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"a": 3}', b"\xff\xfe", b'{"half'])
def test_a_spoilt_file_of_fingerprints_counts_as_empty(folder, loaded, content):
    store.write_file(store.cache_folder() / "fingerprints.json", content)
    assert (
        fingerprint.cached_fingerprint(load_model(folder, device="cpu"))
        == loaded["qwen2"].fingerprint
    )
    assert len(fingerprint.read_fingerprints(store.cache_folder() / "fingerprints.json")) == 1


@pytest.fixture
def words(tiny_words):
    return [*tiny_words, "--size", 6, "--method", "atp"]


def test_a_second_run_answers_from_the_cache_and_says_so(shell, words):
    code, out, err = shell("score", *words)
    assert (code, err) == (0, []) and "cache" not in out
    code, again, err = shell("score", *words)
    assert (
        code == 0
        and again.splitlines()[:-2] == out.splitlines()[:-1]
        and again.splitlines()[-2].startswith("answered from the cache (scored on ")
    )
    assert [line.split(" (")[0] for line in err] == [
        "label-balanced means: answered from the cache",
        "Attribution patching: answered from the cache",
    ]
    code, out, _ = shell("score", *words, "--json")
    assert code == 0 and from_cache(json.loads(out)["notes"])
    before = [(path, path.stat().st_mtime_ns) for path in sorted(store.cache_folder().rglob("*"))]
    code, out, err = shell("score", *words, "--no-cache", "--json")
    assert (code, err) == (0, []) and json.loads(out)["notes"] == []
    assert [
        (path, path.stat().st_mtime_ns) for path in sorted(store.cache_folder().rglob("*"))
    ] == before


def test_discovery_says_it_too(shell, tiny_words):
    given = ["discover", *tiny_words, "--size", 6, "--depth", 1, "--fraction", 0.2]
    assert "cache" not in shell(*given)[1]
    code, out, err = shell(*given)
    assert (
        code == 0
        and "iteration 0: answered from the cache (scored on " in out
        and any(line.startswith("iteration 0: answered") for line in err)
    )
    assert "cache" not in shell(*given, "--no-cache")[1]


def test_the_shell_lists_and_clears(shell, words, home):
    assert shell("cache") == (0, f"0 answers, 0 bytes of at most 2 GB, in {home / 'cache'}\n", [])
    shell("score", *words)
    code, out, _ = shell("cache")
    lines = out.splitlines()
    assert (
        code == 0
        and len(lines) == 4
        and lines[0].startswith("scores ")
        and "reviews" in lines[0]
        and "atp, 6 texts" in lines[0]
    )
    rows = json.loads(shell("cache", "list", "--json")[1])
    assert sorted(row["kind"] for row in rows) == ["means", "pools", "scores"]
    assert all(
        row["bytes"] == Path(row["path"]).stat().st_size
        and 0 <= row["age"] < 60
        and row["model"] == words[1]
        for row in rows
    )
    assert [row["kind"] for row in json.loads(shell("cache", "list", "means", "--json")[1])] == [
        "means"
    ]
    size = next(row["bytes"] for row in rows if row["kind"] == "means")
    assert json.loads(shell("cache", "clear", "means", "--json")[1]) == {
        "answers": 1,
        "bytes": size,
    }
    code, out, _ = shell("cache", "clear")
    assert code == 0 and out.startswith("2 answers deleted, ") and out.endswith("B freed.\n")
    assert [path for path in (home / "cache").rglob("*") if path.is_file()] == []
    assert shell("cache", "clear")[1] == "0 answers deleted, 0 bytes freed.\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["cache", "paint"], ["'paint'", "list, clear"]),
        (["cache", "clear", "pictures"], ["'pictures'", "scores"]),
        (["cache", "list", "pictures"], ["'pictures'", "scores"]),
        (["cache", "clear", "means", "more"], ["more"]),
    ],
)
def test_bad_words_for_the_cache_are_one_line(shell, given, expected):
    bad(shell(*given), *expected)


def test_answers_that_cannot_be_deleted_are_one_line(shell, words, monkeypatch):
    shell("score", *words)

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    bad(shell("cache", "clear"), "could not be deleted", "Permission denied")
    assert len(store.stored_answers()) == 3


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
