"""lm-evaluation-harness on an exported model, as a stand-in with the harness's interface."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ctsft.jobs import export as export_module
from ctsft.jobs import harness
from support.errors import said
from support.shell import bad


@pytest.fixture
def installed(monkeypatch) -> list[dict]:
    """What the stand-in was asked."""
    asked, module = [], ModuleType("lm_eval")

    def simple_evaluate(**arguments):
        asked.append(arguments)
        if "unknown" in arguments["tasks"]:
            raise KeyError("unknown")
        values = {"alias": "hellaswag", "acc,none": 0.25, "acc_stderr,none": 0.01}
        return {"results": dict.fromkeys(arguments["tasks"], values)}

    module.simple_evaluate = simple_evaluate
    monkeypatch.setitem(sys.modules, "lm_eval", module)
    monkeypatch.setattr(harness, "find_spec", lambda name: module)
    return asked


@pytest.fixture
def exported(monkeypatch):
    """The export itself is tested elsewhere."""

    def write(run_id, folder, *settings):
        folder.mkdir()
        return folder

    monkeypatch.setattr(export_module, "export", lambda run, to, *rest: write(run, Path(to), *rest))


def test_the_exported_folder_is_evaluated_and_the_figures_lie_in_it(
    shell, installed, exported, tmp_path
):
    folder = tmp_path / "tuned"
    code, out, err = shell("export", "a-run", "--to", folder, "--lm-eval", "hellaswag,arc_easy")
    assert (code, err) == (0, [])
    (asked,) = installed
    assert asked["model_args"] == {"pretrained": str(folder)}
    assert asked["tasks"] == ["hellaswag", "arc_easy"]
    figures = {"acc,none": 0.25, "acc_stderr,none": 0.01}
    stored = json.loads((folder / harness.FILE).read_text())
    assert stored == {"hellaswag": figures, "arc_easy": figures}
    assert "0.2500" in out


def test_it_is_refused_in_a_sentence(shell, monkeypatch, exported, installed, tmp_path):
    words = ["export", "a-run", "--lm-eval", "hellaswag", "--to", tmp_path / "new"]
    bad(shell(*words, "--format", "peft"), "merged models")
    bad(shell(*words[:-2]), "--to")
    said(lambda: harness.run_harness(tmp_path, ["unknown"]), "could not evaluate 'unknown'")
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    bad(shell(*words), "not installed", "ctsft[lm-eval]")
    assert not (tmp_path / "new").exists()
