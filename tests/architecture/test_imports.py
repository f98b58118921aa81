"""Which way imports run: the contracts of .importlinter hold, and each of them can be broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
LAYERS = "Each layer of the library imports from the layers below it only"
PAGES = "Pages use widgets, session and text, and never each other"
CIRCLES = "No import circle, in any folder"
SCREEN = "The library does not import the explorer or Streamlit"
FIGURES = "Only ctsft.plots imports Plotly"
TEXTS = "Texts do not import Streamlit"
PLANTED = (  # (the contract it breaks, file, line, what the report names)
    (LAYERS, "ctsft/model/forward.py", "import ctsft.circuit.circuit", "ctsft.circuit"),
    (LAYERS, "ctsft/data/sources.py", "from ctsft.cache import store", "ctsft.cache"),
    (LAYERS, "ctsft/utils/errors.py", "def f():\n    from ctsft import runs", "ctsft.runs"),
    (LAYERS, "ctsft/tuning/recipes.py", "from ..jobs.requests import Scoring", "ctsft.jobs"),
    (PAGES, "explorer/compare/page.py", "from explorer.setup import facts", "explorer.setup"),
    (PAGES, "explorer/session/recent.py", "import explorer.widgets.chart", "explorer.widgets"),
    (CIRCLES, "ctsft/data/sources.py", "import ctsft.data.registry", "registry"),
    (SCREEN, "ctsft/runs/launcher.py", "if True:\n    import streamlit as st", "streamlit"),
    (SCREEN, "ctsft/cli/app.py", "from explorer.text import glossary", "explorer.text"),
    (FIGURES, "ctsft/circuit/circuit.py", "def f():\n    import plotly.express", "plotly"),
    (TEXTS, "explorer/text/glossary.py", "import streamlit", "streamlit"),
)


def report(folder: Path) -> tuple[int, dict[str, str], str]:
    """lint-imports in `folder`: exit code, {contract: KEPT or BROKEN}, and the text of the broken
    ones.
    """
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.M)
    assert lines, done.stdout + done.stderr
    return done.returncode, dict(lines), done.stdout.partition("Broken contracts")[2]


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of the two packages and their contracts."""
    for name in ("ctsft", "explorer"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_imports_run_one_way():
    code, contracts, broken = report(ROOT)
    assert set(contracts.values()) == {"KEPT"}, broken
    assert code == 0 and set(contracts) == {LAYERS, PAGES, CIRCLES, SCREEN, FIGURES, TEXTS}


@pytest.mark.parametrize(
    ("contract", "name", "line", "imported"),
    PLANTED,
    ids=[f"{name}-{imported}" for _, name, _, imported in PLANTED],
)
def test_every_contract_sees_a_wrong_import(tree, contract, name, line, imported):
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8") + f"\n\n{line}\n", encoding="utf-8")
    code, contracts, broken = report(tree)
    assert code == 1 and contracts[contract] == "BROKEN", contracts
    module = path.stem if contract == CIRCLES else name.removesuffix(".py").replace("/", ".")
    # a long chain of imports is wrapped over lines
    assert re.search(rf"{module} -> \.?{imported}", re.sub(r"\s+", " ", broken)), broken


def test_a_module_without_a_layer_is_an_error(tree):
    (tree / "ctsft" / "novel.py").write_text("")
    code, contracts, broken = report(tree)
    assert code == 1 and {name for name, state in contracts.items() if state != "KEPT"} == {LAYERS}
    assert "novel" in broken
