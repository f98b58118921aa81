"""The files for containers and for continuous integration agree with the program: they cannot be
built here, so what they name is checked.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from ctsft.cli import ui
from support.explorer_server import plain_environment, serving, unused_port

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^\s*{name} (.*)$", DOCKERFILE, re.MULTILINE)


def container_command() -> list[str]:
    return json.loads(instructions("CMD")[-1])


def health_command() -> list[str]:
    return json.loads(instructions("HEALTHCHECK")[0].split(" CMD ")[1])


def test_the_image_copies_files_that_exist_and_are_not_ignored():
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    included = {line[1:] for line in patterns if line.startswith("!")}
    copied = set()
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            copied |= set(shlex.split(line)[:-1])
    assert copied == included and all((ROOT / name).exists() for name in copied)


def test_the_container_runs_as_a_user_without_rights_and_stores_in_its_volume():
    assert instructions("USER")[-1] != "root" and instructions("VOLUME") == ["/data"]
    assert "CTSFT_HOME=/data/" in DOCKERFILE and "HF_HOME=/data/" in DOCKERFILE
    assert DOCKERFILE.index("USER explorer") < DOCKERFILE.index('CMD ["ctsft"')


def test_the_container_answers_its_health_check(tmp_path, home):
    port = unused_port()
    command, health = container_command(), health_command()
    assert command[:2] == ["ctsft", "ui"] and health[0] == "python"
    published = command[command.index("--port") + 1]
    assert f":{published}/" in health[-1] and instructions("EXPOSE") == [published]
    words = [str(port) if word == published else word for word in command[1:]]
    check = [sys.executable, "-c", health[-1].replace(published, str(port))]
    (tmp_path / "empty").mkdir()
    environment = plain_environment(home, PYTHONPATH=str(ROOT))
    start = [sys.executable, "-m", "ctsft", *words]
    with serving(start, tmp_path / "empty", port, environment) as server:
        assert server.listening() == {"0.0.0.0"}
        assert subprocess.run(check).returncode == 0
    assert subprocess.run(check, stderr=subprocess.DEVNULL).returncode != 0


def test_compose_opens_the_port_to_this_machine_only():
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert service["explorer"]["ports"] == ["127.0.0.1:8501:8501"]
    assert service["explorer"]["volumes"] == ["data:/data"] and 8501 in ui.PORTS


def test_the_workflow_calls_a_target_of_the_makefile():
    file = ROOT / ".github" / "workflows" / "check.yml"
    steps = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]["check"]["steps"]
    assert "make check" in [step.get("run") for step in steps]
    assert re.search(r"^check:", (ROOT / "Makefile").read_text(), re.MULTILINE)
