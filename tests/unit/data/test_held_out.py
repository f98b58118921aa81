"""Half of a task's rows in the place of a target language."""

from collections import Counter

import pytest

from ctsft.data.held_out import hold_out
from ctsft.data.registry import load_task
from ctsft.data.task_file import write_task as write_rows
from support.errors import said
from support.tasks import LABELS, cued, write_task


def alone(folder, rows, **changes):
    files = {("indonesian", split): of_split for split, of_split in rows.items()}
    return load_task(write_task(folder, files, targets=[], **changes))


def test_each_split_is_parted_by_text_and_label(tmp_path):
    rows = cued(60, 1)
    task = alone(tmp_path, {"train": [*rows[:30], *rows[:3]], "test": rows[30:]}, max_length=77)
    made = load_task(str(write_rows(hold_out(task), tmp_path / "tasks")))
    assert made.languages == ("indonesian", "indonesian-held-out") and made.max_length == 77
    texts = {}
    for language in made.languages:
        texts[language] = {
            row.text for split in made.splits(language) for row in made.load(language, split)
        }
        counts = Counter(row.label for row in made.load(language, "train"))
        assert set(counts) == set(LABELS) and min(counts.values()) >= 2
    assert not texts["indonesian"] & texts["indonesian-held-out"]
    assert (
        sum(
            len(made.load(language, split))
            for language in made.languages
            for split in ("train", "test")
        )
        == 63
    )


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_share_is_that_of_each_label(tmp_path, share):
    task = hold_out(alone(tmp_path, {"train": cued(120, 2)}), share)
    held_out = Counter(row.label for row in task.load("indonesian-held-out", "train"))
    assert held_out == dict.fromkeys(LABELS, round(40 * share))
    assert hold_out(alone(tmp_path, {"train": cued(120, 2)}), share).load(
        "indonesian", "train"
    ) == task.load("indonesian", "train")


def test_what_cannot_be_parted(tmp_path):
    said(lambda: hold_out(load_task(write_task(tmp_path / "two"))), "has the target javanese")
    few = alone(tmp_path / "few", {"train": cued(9)})
    said(lambda: hold_out(few), "3 train rows", "at least 4")
    said(lambda: hold_out(alone(tmp_path / "test", {"test": cued(90)})), "0 train rows")
