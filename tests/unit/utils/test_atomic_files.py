"""Whole or not at all, and a disk that is really full: a small file system of its own where one may
be mounted.
"""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from ctsft import runs
from ctsft.utils import atomic_files

BIG = torch.zeros(500_000)  # 2 MB


@pytest.fixture
def small(tmp_path):
    """A file system of 1 MB."""
    path = tmp_path / "small"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if (
        not sys.platform.startswith("linux")
        or subprocess.run(words, capture_output=True).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_file_or_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "thing"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_files.atomic_path(path, "it") as part:
        part.write_text("half")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert [one.name for one in tmp_path.iterdir()] == ["thing"] and path.read_text() == "old"
    # a killed writer's leftover: process numbers end at 4,194,304; this process still writes
    (tmp_path / f".thing.{atomic_files.MACHINE}-9999999-1.part").mkdir()
    mine = atomic_files.part_of(path.with_name("thing.2"))
    mine.write_text("not done")
    with atomic_files.atomic_path(path, "it") as part:
        part.write_text("new")
    assert mine.read_text() == "not done"
    mine.unlink()
    assert [one.name for one in tmp_path.iterdir()] == ["thing"] and path.read_text() == "new"
    for words in ("one", "two"):
        with atomic_files.atomic_path(tmp_path / "folder", "it") as part:
            part.mkdir()
            (part / "a").write_text(words)
    assert (tmp_path / "folder" / "a").read_text() == "two" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(2_000_000)),
        lambda path: save_file({"x": BIG}, path),
        lambda path: torch.save(BIG, path),
    ],
    ids=["python", "safetensors", "torch"],
)
@pytest.mark.parametrize("need", [0, 2_000_000])
def test_a_full_disk_is_one_sentence_whoever_writes(small, write, need):
    (small / "kept").write_text("kept")
    with (
        pytest.raises(atomic_files.DiskFull) as error,
        atomic_files.atomic_path(small / "kept", "the checkpoint of step 7", need) as part,
    ):
        write(part)
    text = str(error.value)
    assert (
        "the checkpoint of step 7" in text
        and str(small) in text
        and "free" in text
        and "\n" not in text
        and "it needs 0.0" not in text
    )
    assert [one.name for one in small.iterdir()] == ["kept"] and (
        small / "kept"
    ).read_text() == "kept"
    with pytest.raises(OSError), atomic_files.atomic_path(small / "kept", "it"):
        raise OSError("something else")


def test_on_a_full_disk_event_lines_stay_whole_and_the_run_can_say_why_it_failed(
    small, monkeypatch
):
    monkeypatch.setenv("CTSFT_HOME", str(small))
    with pytest.raises(atomic_files.DiskFull), runs.record(runs.Request(kind="score")) as run:
        run.event(step=1)
        run.file("filler").write_bytes(bytes(atomic_files.free_bytes(small) // 4096 * 4096))
        for step in range(2, 100):
            # the last block still has room for some
            last = step
            run.event(step=step, words="x" * 200)
    lines = run.file("events.jsonl").read_bytes()
    assert (
        lines.endswith(b"\n")
        and [row["step"] for row in run.events()] == list(range(1, last))
        and last < 99
    )
    status = run.status()
    assert (
        status.state == "failed"
        and status.message.startswith("There is no space left for a line")
        and str(run.path) in status.message
    )
    with pytest.raises(atomic_files.DiskFull), runs.record(runs.Request(kind="score"), run.id):
        # whatever it is that finds no room
        run.file("more").write_bytes(bytes(100_000))
