"""Files of the cache that are damaged, too many, or cannot be written are never in the way."""

import json
import multiprocessing
import os
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ctsft.cache import store
from ctsft.utils import atomic_files
from support.errors import said
from support.stored_answers import POOL, bits, files, from_cache


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
    assert from_cache(ask().notes) == (how != "folder")
    warned = [str(one.message) for one in recwarn]
    assert len(warned) == (how == "folder"), warned


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
