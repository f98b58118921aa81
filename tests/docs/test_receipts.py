"""The figures of the documents carry receipts, and those whose data lies in the repository are
computed again.
"""

import re
from pathlib import Path

import pytest

from ctsft.receipts.claims import DIFFERENT, EQUAL, NOT_RECOMPUTABLE
from ctsft.receipts.document_file import parts_of, stamped
from ctsft.receipts.verify import verify
from ctsft.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
TABLES = ROOT / "examples" / "nusax.results.md"


def test_what_the_repository_can_compute_of_the_results_is_equal():
    verification = verify(RESULTS)
    computed = [
        one for one in verification.verdicts if one.state == EQUAL and ": numbers" not in one.where
    ]
    different = [one for one in verification.verdicts if one.state == DIFFERENT]
    # a figure that was just measured again, or has no receipt yet: python docs/stamp_receipts.py
    stamps = (": numbers", "a number without a receipt")
    assert [one for one in different if not one.where.endswith(stamps)] == [], verification.text()
    assert len(computed) > 150 and verification.counts[NOT_RECOMPUTABLE] > 300
    assert verify(TABLES).counts[DIFFERENT] == 0 and verify(TABLES).counts[EQUAL] > 250


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


TAMPERED = {
    "a mean over targets": (
        TABLES,
        "all targets | target | .493 | .659",
        "all targets | target | .493 | .669",
    ),
    "a language's mean": (
        TABLES,
        "| buginese | target | .278 | .572",
        "| buginese | target | .278 | .592",
    ),
    "a difference": (TABLES, "+.023 [-.008, +.055]", "+.043 [-.008, +.055]"),
    "the sign of an end": (TABLES, "+.023 [-.008, +.055]", "+.023 [+.008, +.055]"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_figure_is_found_though_its_hash_was_fixed(tmp_path, name):
    source, old, new = TAMPERED[name]
    path = tmp_path / source.name
    path.write_text(stamped(changed(source.read_text("utf-8"), old, new), name), "utf-8")
    assert verify(path).counts[DIFFERENT] >= 1
    path.write_text(stamped(source.read_text("utf-8"), name), "utf-8")
    assert verify(path).counts[DIFFERENT] == 0


def test_what_cannot_be_computed_is_guarded_by_its_hash(tmp_path):
    text = (RESULTS / "validation.md").read_text("utf-8")
    path = tmp_path / "validation.md"
    path.write_text(changed(text, "0.464", "0.864"), "utf-8")
    (verdict,) = [one for one in verify(path).verdicts if one.state == DIFFERENT]
    assert verdict.where.endswith(": numbers")
    path.write_text(re.sub(r"<!-- receipt: .*\n", "", text, count=1), "utf-8")
    differing = [one for one in verify(path).verdicts if one.state == DIFFERENT]
    assert differing and all("without a receipt" in one.where for one in differing)


def test_recorded_means_need_their_runs(tmp_path):
    path = tmp_path / "demo.md"
    path.write_text((RESULTS / "demo.md").read_text("utf-8"), "utf-8")
    verification = verify(path)
    assert verification.counts[DIFFERENT] == 0
    assert any("needs the runs" in one.why for one in verification.verdicts)


def test_a_changed_figure_of_a_recorded_validation_is_found(tmp_path):
    text = (RESULTS / "validation.md").read_text("utf-8")
    text = text.replace("../../assets", (RESULTS.parents[1] / "assets").as_posix())
    path = tmp_path / "validation.md"
    for shown, different in (("| cdt | 0.383 |", 0), ("| cdt | 0.483 |", 1)):
        path.write_text(text.replace("| cdt | 0.383 |", shown), "utf-8")
        spearman_verdicts = [one for one in verify(path).verdicts if "Spearman" in one.where]
        assert sum(one.state == DIFFERENT for one in spearman_verdicts) == different
    assert len(spearman_verdicts) == 8


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("{not json}", "cannot be read"),
        ('{"command": "c"}', "'run' is missing"),
        (
            '{"command": "c", "run": "r", "rows": "", "seed": "", "model": "", "interval": "",'
            ' "derive": "magic"}',
            "choose from all_targets",
        ),
    ],
)
def test_a_wrong_receipt_is_one_sentence(tmp_path, comment, said):
    path = tmp_path / "wrong.md"
    path.write_text(f"# A\n\n<!-- receipt: {comment} -->\n\n0.5\n", "utf-8")
    with pytest.raises(UserError, match=said):
        verify(path)
    with pytest.raises(UserError, match="holds no document"):
        verify(empty(tmp_path))


def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_a_receipt_covers_up_to_the_next_heading():
    receipt = (
        '{"command": "c", "run": "", "rows": "", "seed": "", "model": "", "interval": "",'
        ' "needs": "x"}'
    )
    text = f"# A\n0.1\n<!-- receipt: {receipt} -->\n0.2 L2.H3 0.3\n```\n# 0.4\n```\n## B\n0.5\n"
    parts = [(bool(part.receipt), part.results) for part in parts_of(text, "x") if part.results]
    assert parts == [(False, ["0.1"]), (True, ["0.2", "0.3", "0.4"]), (False, ["0.5"])]
