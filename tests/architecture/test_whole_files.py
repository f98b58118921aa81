"""Every file is written whole: nothing in the two packages writes a file in place."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# methods and functions that write to a path
WRITERS = {
    "write_text",
    "write_bytes",
    "save_file",
    "save_pretrained",
    "to_csv",
    "to_json",
    "to_parquet",
    "to_excel",
    "to_pickle",
    "savez",
    "write_html",
    "write_image",
    "copyfile",
    "copytree",
    "copy2",
}
# these too, where the name is one of a module: `json.dump`, `torch.save`, `np.save`
OF_MODULES = {("json", "dump"), ("torch", "save"), ("np", "save"), ("pickle", "dump")}
# the module that writes, and what it is called as
DOOR = "ctsft/utils/atomic_files.py"
WHOLE = {"atomic_files"}

# functions that write into a name which their caller took from `atomic_path`, and streams that only
# grow, whose readers skip a torn last line
ALLOWED = {
    "ctsft/jobs/bundle.py:write_entries",
    "ctsft/jobs/export.py:save_folder",
    "ctsft/tuning/checkpoints.py:_save",
    "ctsft/runs/writer.py:begin",
    "ctsft/runs/recorder.py:_log_traceback",
    "ctsft/runs/launcher.py:_start_process",
    "ctsft/cli/run.py:execute",  # the null device
    "explorer/session/start_runs.py:start_first_score",  # an empty mark, whose existence counts
}


def in_place(source: str, path: str = "x.py") -> list[str]:
    """`path:function` of every call that writes a file in place."""
    functions = []

    def visit(node: ast.AST, function: str, whole: bool):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items]
            whole = whole or any(called(call)[1] == "atomic_path" for call in calls)
        if isinstance(node, ast.Call) and not whole and writes(node):
            functions.append(f"{path}:{function}")
        for child in ast.iter_child_nodes(node):
            visit(child, function, whole)

    visit(ast.parse(source), "", False)
    return functions


def called(node: ast.AST) -> tuple[str, str]:
    """Of `a.b(...)`: ("a", "b"); of `b(...)`: ("", "b")."""
    target = getattr(node, "func", None)
    if isinstance(target, ast.Attribute):
        owner = target.value.id if isinstance(target.value, ast.Name) else "?"
        return owner, target.attr
    return "", getattr(target, "id", "")


def writes(call: ast.Call) -> bool:
    owner, name = called(call)
    if owner in WHOLE or (name in ("write_text", "write_bytes") and not owner):
        return False
    if name == "open":
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        modes = [value.value for value in values if isinstance(value, ast.Constant)]
        return any(
            isinstance(mode, str) and len(mode) < 4 and set(mode) & set("wax+") for mode in modes
        )
    if name in ("to_csv", "to_json") and not call.args:
        return False  # text
    return name in WRITERS or (owner, name) in OF_MODULES


def test_nothing_writes_a_file_in_place():
    functions = set()
    for package in ("ctsft", "explorer"):
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path != DOOR:
                functions |= set(in_place(file.read_text(encoding="utf-8"), path))
    assert functions == ALLOWED


@pytest.mark.parametrize(
    "planted",
    [
        'path.write_text("x")',
        'run.file("a").write_bytes(b"x")',
        'open(path, "w")',
        'path.open("x")',
        'open(path, mode="ab")',
        "save_file(tensors, path)",
        "frame.to_csv(path, index=False)",
        "json.dump(value, file)",
        "torch.save(value, path)",
    ],
)
def test_the_check_sees_a_file_that_is_written_in_place(planted):
    assert in_place(f"def f():\n    {planted}") == ["x.py:f"]
    assert in_place(f"def f():\n    with atomic_path(path, 'it') as part:\n        {planted}") == []


def test_the_check_passes_what_writes_a_whole_file_or_only_reads():
    for harmless in (
        "write_text(path, 'x')",
        "atomic_files.write_bytes(path, b'')",
        "open(path)",
        "open(path, 'rb')",
        "frame.to_csv()",
    ):
        assert in_place(f"def f():\n    {harmless}") == []
