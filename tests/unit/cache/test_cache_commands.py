"""The cache from the shell: what answers from it says so, and it can be listed and cleared."""

import json
from pathlib import Path

import pytest

from ctsft.cache import store
from support.shell import bad
from support.stored_answers import from_cache


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
