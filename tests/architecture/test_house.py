"""The house rules that a reader cannot see at a glance: one file that names architectures, a
docstring for every name and module, few parameters, tests that do not import each other.
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
MOST_PARAMETERS = 6
# public functions, whose keyword arguments other programs name
MORE_PARAMETERS = {
    # means, sizes and n_random are those of `faithfulness`, which this measures size by size
    "ctsft/circuit/faithfulness.py:faithfulness_curve": 7,
    # train, evaluate and source are rows that a caller has apart; watch follows the run
    "ctsft/tuning/finetune.py:finetune": 8,
}


def sources(package: str) -> dict[str, str]:
    """{path: text} of every Python file of a package."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def architectures(source: str) -> list[str]:
    """Places that name a family as a value, a name or a module; texts that merely mention one are
    free.
    """
    places = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.lower() in FAMILIES
        ):
            places.append(f"line {node.lineno}: {node.value!r}")
        kinds = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
        name = getattr(node, kinds.get(type(node), ""), "")
        if any(family in name.lower() for family in FAMILIES) or name.startswith(
            "transformers.models"
        ):
            places.append(f"line {getattr(node, 'lineno', 0)}: {name}")
    return places


def wide_functions(files: dict[str, str]) -> dict[str, int]:
    """{path:name: number of parameters} of every function with too many; self is not counted, nor
    are the command line's options.
    """
    wide = {}
    for path, source in files.items():
        if path.startswith("ctsft/cli/"):
            continue
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            names = [
                argument.arg
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            ]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > MOST_PARAMETERS:
                wide[f"{path}:{node.name}"] = count
    return wide


def test_only_one_file_names_architectures():
    files = sources("ctsft")
    assert architectures(files.pop("ctsft/model/families.py"))
    named = {path: places for path, source in files.items() if (places := architectures(source))}
    assert named == {} and len(files) > 60


@pytest.mark.parametrize(
    "planted",
    [
        'kind == "qwen2"',
        "from transformers.models.gpt2 import GPT2Block",
        "isinstance(hf, LlamaForCausalLM)",
    ],
)
def test_the_check_for_architectures_sees_one(planted):
    assert architectures(planted)


def test_every_public_name_is_there_and_has_a_docstring():
    expected = {
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
        "apply_delta",
    }
    assert expected <= set(ctsft.__all__) <= set(dir(ctsft))
    for name in ctsft.__all__:
        text = inspect.getdoc(getattr(ctsft, name))
        # a dataclass's own signature is no docstring
        assert text and not text.startswith(f"{name}("), name
    with pytest.raises(AttributeError, match="no attribute 'score_all'"):
        _ = ctsft.score_all


@pytest.mark.parametrize("package", ["ctsft", "explorer"])
def test_every_module_has_a_docstring(package):
    for path, source in sources(package).items():
        text = ast.get_docstring(ast.parse(source)) or ""
        assert len(text) > 10, path


def test_functions_have_at_most_six_parameters():
    wide = wide_functions(sources("ctsft") | sources("explorer"))
    assert wide == MORE_PARAMETERS
    planted = "class A:\n    def f(self, a, b, *, c, d=1, e=2, f=3, g=4): pass"
    assert wide_functions({"ctsft/a.py": planted}) == {"ctsft/a.py:f": 7}
    assert not wide_functions({"ctsft/a.py": planted.replace(", g=4", "")})


def test_no_test_imports_a_test():
    files = sources("tests")
    for path, source in files.items():
        for name in imported(source, "tests"):
            last = name.split(".")[-1]
            assert not name.split(".")[0].startswith(("test_", "conftest")), (path, name)
            # a module of that name, not a function of the library that begins so
            assert not any(other.endswith(f"/{last}.py") for other in files if "/test_" in other), (
                path,
                name,
            )
    assert len(files) > 80


def project_files() -> list[Path]:
    """What is, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the project is not a git checkout, so its files cannot be told from others")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_file_knows_the_machine_it_was_written_on():
    here = re.compile(rb"(?<![\w.~/-])/" + rb"(work|root|home/\w+)/")
    files = project_files()
    offenders = [
        str(path.relative_to(ROOT))
        for path in files
        if path.suffix not in (".png", ".safetensors", ".pt") and here.search(path.read_bytes())
    ]
    assert offenders == [] and len(files) > 40
    assert (
        here.search(b'cd "/' + b'root/x"')
        and not here.search(b"house/" + b"work/x")
        and not here.search(b"~/" + b"work/x")
    )
