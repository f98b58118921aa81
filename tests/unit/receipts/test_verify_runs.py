"""Run folders and bundles, computed again: untouched ones are equal, and a changed figure is found
wherever it stands.
"""

import hashlib
import json
import random
import zipfile
from pathlib import Path

import pytest

from ctsft.jobs.bundle import write_bundle
from ctsft.receipts.claims import DIFFERENT, EQUAL, NOT_RECOMPUTABLE, check
from ctsft.receipts.evidence import Evidence
from ctsft.receipts.of_runs import receipt_of
from ctsft.receipts.receipt import FILE
from ctsft.receipts.run_claims import run_claims
from ctsft.receipts.verify import Settings, verify
from ctsft.runs import explorations
from ctsft.runs.folder import Run
from support.errors import said
from support.jobs import tuned
from support.recorded import FEW, RUNS, show_recorded

RUN = "runs/demo-circuit-31"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "few.zip"
    with pytest.MonkeyPatch.context() as patch:
        show_recorded(patch)
        write_bundle(list(FEW), path)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def write(path: Path, files: dict[str, bytes], fix_hashes: bool = True) -> Path:
    """A bundle; fix_hashes: its list of hashes is that of the changed files."""
    about = json.loads(files[explorations.FILE])
    if fix_hashes:
        about["files"] = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in files.items()
            if name != explorations.FILE
        }
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in (files | {explorations.FILE: json.dumps(about).encode()}).items():
            bundle.writestr(name, content)
    return path


def changed(name: str, *path, to, of=RUN):
    """A change of a value of a JSON file. to: the value, or what makes it of the old one."""

    def change(files: dict[str, bytes]):
        content = json.loads(files[f"{of}/{name}"])
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to(place[path[-1]]) if callable(to) else to
        files[f"{of}/{name}"] = json.dumps(content).encode()

    return change


def flipped(right: str) -> str:
    """One row that was right is wrong, and one that was wrong is right: the accuracy stays."""
    one, other = right.index("1"), right.index("0")
    marks = list(right)
    marks[one], marks[other] = "0", "1"
    return "".join(marks)


def replaced(name: str, old: bytes, new: bytes):
    def change(files: dict[str, bytes]):
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return change


def last_byte(files: dict[str, bytes]):
    """A score of one example."""
    name = "runs/demo-scores/scores.safetensors"
    content = bytearray(files[name])
    content[-2001] ^= 1  # of the exponent
    files[name] = bytes(content)


FINAL = ("final", "after", "english")
TAMPERED = {
    "an accuracy after tuning": changed("result.json", *FINAL, "accuracy", to=0.585),
    "a recall": changed("result.json", *FINAL, "recall", "positive", to=lambda old: old + 0.01),
    "a number of rows": changed("result.json", *FINAL, "rows", to=401),
    "right and wrong of a row": changed(
        "result.json", *FINAL, "right", to=lambda old: old[:-1] + "10"[int(old[-1])]
    ),
    "two rows before tuning, the accuracy as it was": changed(
        "result.json", "final", "before", "english", "right", to=flipped
    ),
    "forgetting": changed("result.json", "final", "forgetting", "accuracy", to=0.01),
    "the gain in macro F1": changed("result.json", "final", "plasticity", "macro_f1", to=0.5),
    "a point of the curve": changed(
        "result.json", "history", 3, "accuracy", "indonesian", to=lambda old: old + 0.01
    ),
    "a training loss": changed("result.json", "history", 3, "loss", to=0.1),
    "a setting that was not used": changed("result.json", "config", "learning_rate", to=1e-3),
    "the seed of the request": changed("request.json", "config", "seed", to=32),
    "what was trained": changed("result.json", "trainable", to=66464),
    "the number of heads": changed("result.json", "heads", to=5),
    "a head of the circuit": changed("circuit.json", "heads", 0, "head", to=3),
    "an id of a row": changed("result.json", "answered", "rows", "english", "ids", 0, to="999"),
    "the fingerprint of the rows": changed(
        "request.json", "facts", "data_fingerprints", "english", to="0123456789abcdef"
    ),
    "an event": replaced(
        f"{RUN}/events.jsonl", b'"accuracy": 0.5555555555555556', b'"accuracy": 0.6'
    ),
    "a score": changed("result.json", "heads", 0, "score", to=2.1, of="runs/demo-scores"),
    "the order of the heads": changed(
        "result.json", "heads", to=lambda old: [old[1], old[0], *old[2:]], of="runs/demo-scores"
    ),
    "a score in the table": replaced("runs/demo-scores/scores.csv", b"1.9022510", b"1.8022510"),
    "a score of one example": last_byte,
    "a label of the discovery set": changed(
        "pool.json", 0, "label", to="positive", of="runs/demo-scores"
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_figure_is_found_though_the_hashes_were_fixed(packed, tmp_path, name):
    files = contents(packed)
    TAMPERED[name](files)
    verification = verify(write(tmp_path / "changed.zip", files))
    assert verification.counts[DIFFERENT] >= 1, name


def test_an_untouched_bundle_is_equal(packed, tmp_path):
    verification = verify(packed)
    assert verification.counts[DIFFERENT] == 0 and verification.counts[EQUAL] > 2000
    assert verify(write(tmp_path / "same.zip", contents(packed))).counts == verification.counts
    measures = {verdict.where.split("/")[-1] for verdict in verification.verdicts}
    assert measures >= {"accuracy", "score"}


@pytest.mark.parametrize("name", ["status.json", "result.json", "circuit.json"])
def test_what_only_the_hashes_know(packed, tmp_path, name):
    """A measured figure that nothing stored is made of, a removed file, an added one."""
    files = contents(packed)
    files[f"{RUN}/{name}"] = files[f"{RUN}/{name}"].replace(b"\n", b" \n", 1)
    hidden = verify(write(tmp_path / "fixed.zip", files))
    verification = verify(write(tmp_path / "changed.zip", files, fix_hashes=False))
    assert hidden.counts[DIFFERENT] == 0
    assert [one.where for one in verification.verdicts if one.state == DIFFERENT] == [
        f"hash of {RUN}/{name}"
    ]
    del files[f"{RUN}/circuit.json"]
    files[f"{RUN}/extra.json"] = b"{}"
    verification = verify(write(tmp_path / "other.zip", files, fix_hashes=False))
    assert {f"hash of {RUN}/circuit.json", f"hash of {RUN}/extra.json"} <= {
        one.where for one in verification.verdicts if one.state == DIFFERENT
    }


def test_fifty_figures_drawn_at_random_are_computed_again_within_a_millionth():
    evidence = Evidence([RUNS])
    claims = [
        claim
        for path in sorted(RUNS.iterdir())
        for claim in run_claims(evidence, path.name)
        if isinstance(claim.value, float)
    ]
    computed = [claim for claim in claims if check(claim).state != NOT_RECOMPUTABLE]
    assert len(computed) > 0.8 * len(claims)
    for claim in random.Random(50).sample(computed, 50):
        assert abs(claim.recompute() - claim.value) <= 1e-6, claim.where


@pytest.mark.parametrize("name", ["demo", "smollm2"])
def test_each_recording_says_the_receipts_of_its_runs(name):
    folder = RUNS.parent.with_name(name)
    stored = json.loads((folder / FILE).read_text())
    made = {path.name: receipt_of(Run(path)) for path in (folder / "runs").iterdir()}
    assert stored == json.loads(json.dumps({run: of.model_dump() for run, of in made.items()}))


def test_a_sample_is_drawn_and_the_same_for_the_same_seed(packed):
    one, same, other = (
        [verdict.where for verdict in verify(packed, Settings(sample=30, seed=seed)).verdicts]
        for seed in (1, 1, 2)
    )
    assert one == same != other and len(one) < 200 < verify(packed).figures


def test_the_model_is_run_again_on_request(subject, scored):
    """A macro F1 after tuning, which right and wrong per row do not give."""
    run, _ = tuned(subject, scored, shares=False)
    verification = verify(run.path, Settings(deep=True))
    again = [one for one in verification.verdicts if "macro_f1 (the model again)" in one.where]
    assert verification.counts[DIFFERENT] == 0 and [one.state for one in again] == [EQUAL] * 4
    path = run.file("result.json")
    content = json.loads(path.read_text())
    content["final"]["after"]["javanese"]["macro_f1"] += 0.01
    content["final"]["plasticity"]["macro_f1"] += 0.01
    path.write_text(json.dumps(content))
    assert verify(run.id).counts[DIFFERENT] == 0
    verification = verify(run.id, Settings(deep=True))
    assert [one.where for one in verification.verdicts if one.state == DIFFERENT] == [
        f"{run.id}: after tuning, javanese, macro_f1 (the model again)"
    ]
    verification = verify(scored.id, Settings(deep=True))
    assert verification.counts[DIFFERENT] == 0
    assert sum("on each example" in one.where for one in verification.verdicts) == 12


def test_what_has_no_figure_is_refused(tmp_path):
    """Nothing checked is not the same as nothing wrong."""
    (tmp_path / "words.md").write_text("No figure here.\n")
    for path in (tmp_path / "words.md", tmp_path):
        said(lambda path=path: verify(path), str(path), "no figure to verify")
