"""lm-evaluation-harness on an exported model: a stand-in with the harness's interface, and the
harness itself where it is installed.
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ctsft.jobs import export as export_module
from ctsft.jobs import harness
from ctsft.model.device import best_device
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
        values = {"alias": "hellaswag", "sample_len": 4, "acc,none": 0.25, "acc_stderr,none": 0.01}
        values |= {"f1_stderr,none": "N/A"}
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
    assert asked["device"] == best_device()
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


TASK_FILE = """task: from_a_file
dataset_path: json
dataset_kwargs:
  data_files: {{test: {rows}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}\\nSentiment:"
doc_to_choice: [negative, positive]
doc_to_target: label
metric_list: [{{metric: acc}}]
"""


def test_the_harness_itself_reads_a_task_file(folders, tmp_path):
    pytest.importorskip("lm_eval", reason="lm-eval, an optional extra, is not installed")
    rows, file = tmp_path / "rows.jsonl", tmp_path / "task.yaml"
    rows.write_text('{"text": "fine", "label": "positive"}\n{"text": "bad", "label": "negative"}\n')
    file.write_text(TASK_FILE.format(rows=rows))
    measured = harness.run_harness(folders["llama"], [str(file)])
    assert measured.keys() == {"from_a_file"} and measured["from_a_file"].keys() >= {"acc,none"}
    assert measured["from_a_file"]["acc,none"] in (0.0, 0.5, 1.0)
