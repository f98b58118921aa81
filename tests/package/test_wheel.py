"""The wheel, installed into a fresh environment: the commands work from an empty folder, with
nothing of the checkout.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ctsft
from support.explorer_server import is_error, is_heading, plain_environment, serving, unused_port

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WHERE = """
import importlib.util, json, sys
import ctsft, explorer
from ctsft.utils.assets import ASSETS
from ctsft.runs import launcher
others = [name for name in ("benchmarks", "tests", "support") if importlib.util.find_spec(name)]
print(json.dumps({"files": [ctsft.__file__, explorer.__file__, str(ASSETS)], "others": others,
    "search": launcher.search_path(launcher.ROOT), "path": sys.path}))
"""


@dataclass
class Installation:
    wheel: Path
    environment: Path
    folder: Path  # empty, and elsewhere
    home: Path

    def program(self, name: str) -> Path:
        return self.environment / ("Scripts" if os.name == "nt" else "bin") / name

    def run(self, program: str, *arguments) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [self.program(program), *map(str, arguments)],
            cwd=self.folder,
            env=plain_environment(self.home, OMP_NUM_THREADS="1"),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installation:
    """A fresh environment with the wheel; its dependencies are those of the running one."""
    top = tmp_path_factory.mktemp("installation")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", ROOT, "--no-deps", "--no-build-isolation", "--wheel-dir", top]
    subprocess.run([*pip, *map(str, build)], check=True, cwd=top)
    (wheel,) = top.glob("*.whl")
    environment = top / "environment"
    venv.create(environment, symlinks=os.name != "nt")
    target = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", target))
    # a line of a path file: the path files that lie there are not read
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    result = Installation(wheel, environment, top / "empty", top / "home")
    result.folder.mkdir()
    install = ["install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, "--python", str(result.program("python")), *install], check=True)
    return result


def test_the_wheel_holds_what_the_app_needs_and_nothing_else(installed):
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = set(files_of("ctsft")) | set(files_of("explorer"))
    for folder in ("assets/demo", "assets/recorded"):
        expected |= {f"ctsft/{name}" for name in files_of(folder)}
    assert names == expected
    assert {"ctsft/py.typed", "explorer/.streamlit/config.toml"} <= names


def files_of(folder: str) -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def test_the_modules_are_those_of_the_fresh_environment(installed):
    seen = json.loads(installed.run("python", "-c", WHERE).stdout)
    assert all(Path(file).is_relative_to(installed.environment) for file in seen["files"])
    assert str(ROOT) not in seen["path"] and seen["others"] == [] and seen["search"] == []
    assert installed.run("ctsft", "--version").stdout == f"ctsft {ctsft.__version__}\n"


def test_the_commands_work_in_an_empty_folder(installed):
    commands = ["accuracy", "--model", "demo"], ["score", "--size", "6"]
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda words: installed.run("ctsft", *words, "--json"), commands)
        accuracy, score = (json.loads(one.stdout) for one in done)
    assert 0.5 < accuracy["accuracy"] <= 1
    assert score["examples"] == 6 and score["heads"]
    assert (installed.home / "runs" / score["run"] / "request.json").is_file()
    assert list(installed.folder.iterdir()) == []


def test_the_explorer_opens_in_an_empty_folder(installed):
    port = unused_port()
    command = [installed.program("ctsft"), "ui", "--no-browser", "--port", port]
    environment = plain_environment(installed.home)
    with serving(command, installed.folder, port, environment) as server:
        assert server.listening() == {"127.0.0.1"}
        arguments = psutil.Process(server.process.pid).cmdline()
        (script,) = (word for word in arguments if word.endswith("app.py"))
        assert Path(script).is_relative_to(installed.environment)
        page = server.open_page(until=is_heading)
    assert not any(map(is_error, page.elements))
    assert "http://127.0.0.1:" in server.log.read_text()


def test_the_pinned_versions_are_within_the_ranges():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if line)
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    ranges = [Requirement(line) for line in PROJECT["dependencies"]]
    for name, extra in PROJECT["optional-dependencies"].items():
        if name != "lm-eval":  # not installed here: the tests run a stand-in
            ranges += map(Requirement, extra)
    assert {canonicalize_name(one.name) for one in ranges} == set(pins)
    for one in ranges:
        assert pins[canonicalize_name(one.name)] in one.specifier, one
