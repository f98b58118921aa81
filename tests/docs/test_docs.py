"""The documents: the notebooks run as they stand, the pages build without a warning, the written
pages say what the code says, and README stays short.
"""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One process for all notebooks: each would import torch again."""
    folder = tmp_path_factory.mktemp("notebooks")
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CTSFT_HOME": str(folder / "home")},
    )
    yield manager
    manager.shutdown_kernel(now=True)


def in_new_namespace(kernel, notebook):
    """Run the cells, without the names that an earlier notebook defined."""
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, km=kernel, timeout=300).execute(cleanup_kc=False)
    del notebook.cells[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    in_new_namespace(kernel, notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert outputs and not any(output.output_type == "error" for output in outputs)


def test_there_are_three_notebooks_without_stored_outputs():
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells), path.name


def test_the_pages_build_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "results" / "experiment" / "index.html").is_file()


def test_the_page_of_public_names_is_what_the_code_says(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    page = importlib.import_module("generate_api").page()
    assert page == (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), (
        "run python docs/generate_api.py"
    )


def test_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    for page in PAGES:
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        local = [link for link in links if "://" not in link]
        missing = [link for link in local if not (page.parent / link).exists()]
        assert not missing, f"{page.name}: {missing}"


def test_options_that_the_documents_name_are_those_of_the_shell():
    from typer.main import get_command

    from ctsft.cli.main import app

    commands = get_command(app).commands
    checked = 0
    for page in PAGES:
        for line in re.findall(r"(?:^|`)ctsft ([a-z]+ [^`\n]*)", page.read_text("utf-8"), re.M):
            name, _, rest = line.partition(" ")
            if name not in commands:
                continue
            options = {option for part in commands[name].params for option in part.opts}
            options |= {option for part in commands[name].params for option in part.secondary_opts}
            named = set(re.findall(r"(?<!\S)--[a-z-]+", rest.partition("#")[0])) - {"--help"}
            assert named <= options, (page.name, line, named - options)
            checked += len(named)
    assert checked > 20
