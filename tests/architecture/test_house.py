"""The house rules that a reader cannot see at a glance: one direction of travel, one file that
names architectures, words for every name.
"""

import ast
import inspect
import re
import subprocess
from pathlib import Path

import pytest

import ctsft
from support.imports import imported

ROOT = Path(__file__).resolve().parents[2]
ORDER = (
    "errors",
    "disk",
    "places",
    "pieces",
    "sources",
    "tasks",
    "intake",
    "layers",
    "models",
    "shapes",
    "planning",
    "trace",
    "rules",
    "decompose",
    "loading",
    "answers",
    "measures",
    "cache",
    "means",
    "scores",
    "methods",
    "processes",
    "adaptive",
    "relevance",
    "head_view",
    "estimate",
    "circuit",
    "discovery",
    "validation",
    "expansion",
    "moving",
    "lora",
    "recipes",
    "advised",
    "advise",
    "delta",
    "deltas",
    "settings",
    "checkpoints",
    "tuning",
    "run_folder",
    "turns",
    "recording",
    "runs",
    "notes",
    "results",
    "jobs",
    "tuning_jobs",
    "export",
    "rescoring",
    "intervals",
    "design",
    "tables",
    "cells",
    "experiment",
    "commands",
    "scoring_commands",
    "tuning_commands",
    "export_commands",
    "experiment_commands",
    "__main__",
)
SCREEN = {"streamlit", "plotly", "explorer", "altair"}
LIBRARY = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "ctsft").glob("*.py")}
FAMILIES = {
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "phi3",
    "olmo2",
    "bert",
}


def turned_back(files: dict[str, str]) -> list[str]:
    """Imports of a library file that do not come from its left, or that know of a screen."""
    wrong = []
    for name, source in files.items():
        for dotted in sorted(imported(source, "ctsft")):
            top, _, rest = dotted.partition(".")
            module = rest.split(".")[0]
            if top in SCREEN or (
                top == "ctsft" and module in ORDER and ORDER.index(module) >= ORDER.index(name)
            ):
                wrong.append(f"{name} imports {dotted}")
    return wrong


def architectures(source: str) -> list[str]:
    """Places that name a family as a value, a name or a module; texts that merely mention one are
    free.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.lower() in FAMILIES
        ):
            found.append(f"line {node.lineno}: {node.value!r}")
        kinds = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
        name = getattr(node, kinds.get(type(node), ""), "")
        if any(family in name.lower() for family in FAMILIES) or name.startswith(
            "transformers.models"
        ):
            found.append(f"line {getattr(node, 'lineno', 0)}: {name}")
    return found


def test_the_library_imports_from_left_to_right_only():
    assert set(LIBRARY) == {
        *ORDER,
        "__init__",
    }, "a new module has to be given its place in ORDER (and in the README)"
    files = {name: source for name, source in LIBRARY.items() if name != "__init__"}
    assert turned_back(files) == []
    # the reader does see imports
    assert sum(len(imported(source, "ctsft")) for source in files.values()) > 100
    jobs = {"jobs", "tuning_jobs", "__main__"}
    lazy = {module for module in ORDER if re.search(rf'"{module}": \(', LIBRARY["__init__"])}
    assert (
        imported(LIBRARY["__init__"], "ctsft") <= {"importlib", "importlib.import_module"}
        and lazy <= set(ORDER) - jobs
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("tasks", "from ctsft.models import Model"),
        ("trace", "import ctsft.runs"),
        ("errors", "from ctsft import tasks"),
        ("means", "from .circuit import select"),
        ("models", "def f():\n    from ctsft.loading import load_model"),
        ("runs", "import streamlit as st"),
        ("jobs", "from explorer import plots"),
        ("results", "if True:\n    import plotly.express"),
        ("runs", "import ctsft.runs"),
    ],
)
def test_the_import_check_sees_an_arrow_that_turns_back(name, line):
    assert len(turned_back({name: LIBRARY[name] + "\n" + line})) >= 1


def test_pages_are_imported_by_nobody_and_figures_know_no_streamlit():
    explorer = {
        path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "explorer").glob("*.py")
    }
    for name, source in explorer.items():
        assert name == "app" or not any(
            dotted.startswith("explorer.screens") for dotted in imported(source, "explorer")
        ), name
    for name in ("plots", "bars", "curves", "frontier", "tradeoff", "figure_files", "report"):
        assert not any(
            dotted.split(".")[0] == "streamlit" for dotted in imported(explorer[name], "explorer")
        ), name


def test_only_models_names_architectures():
    assert architectures(LIBRARY["models"])
    assert {
        name: found
        for name, source in LIBRARY.items()
        if name != "models" and (found := architectures(source))
    } == {}
    for planted in (
        'kind == "qwen2"',
        "from transformers.models.gpt2 import GPT2Block",
        "isinstance(hf, LlamaForCausalLM)",
    ):
        assert architectures(planted), planted


def test_every_public_name_is_there_and_says_what_it_is():
    assert (
        {
            "load_model",
            "load_task",
            "accuracy",
            "predict",
            "discovery_set",
            "label_balanced_means",
            "score_heads",
            "discover",
            "select",
            "Circuit",
            "faithfulness",
            "trainable_share",
            "finetune",
            "TuneConfig",
        }
        <= set(ctsft.__all__)
        <= set(dir(ctsft))
    )
    for name in ctsft.__all__:
        value = getattr(ctsft, name)
        words = inspect.getdoc(value)
        # a dataclass's own signature is no docstring
        assert words and not words.startswith(f"{name}("), name
    with pytest.raises(AttributeError, match="no attribute 'score_all'"):
        _ = ctsft.score_all


def test_every_module_says_what_it_does():
    for name, source in LIBRARY.items():
        assert len(ast.get_docstring(ast.parse(source)) or "") > 40, name


def project_files() -> list[Path]:
    """What is, or would be, in the repository."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(
            words, cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the project is not a git checkout, so its files cannot be told from others")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_file_knows_the_machine_it_was_written_on():
    here = re.compile(rb"(?<![\w.~/-])/" + rb"(work|root|home/\w+)/")
    files = project_files()
    found = [
        str(path.relative_to(ROOT))
        for path in files
        if path.suffix not in (".png", ".safetensors", ".pt") and here.search(path.read_bytes())
    ]
    assert found == [] and len(files) > 40
    assert (
        here.search(b'cd "/' + b'root/x"')
        and not here.search(b"house/work/x")
        and not here.search(b"~/work/x")
    )
