"""The version of the engine: whatever decides a number is part of it."""

import shutil
from pathlib import Path

import pytest

from ctsft.cache import entry
from support.imports import imported

ROOT = Path(__file__).resolve().parents[3]


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
        imports = {dotted for name in new for dotted in imported(modules[name], "ctsft")}
        new = (imports & set(modules)) - needed
    parts = {f"ctsft.{name.removesuffix('.py').replace('/', '.')}" for name in entry.ENGINE}
    outside = {name for name in needed if not any(f"{name}.".startswith(f"{p}.") for p in parts)}
    # what they do decides no number: errors, folders, sizes in words
    assert {name.rpartition(".")[0] for name in outside} == {"ctsft.utils"}
    assert {f"ctsft.attribution.{name}" for name in ("cdt_rules", "methods", "cdt")} <= needed
    assert {"ctsft.cache.entry", "ctsft.model.loading"} <= needed
