"""Fixtures for every test, all of it offline: tiny models as real Hugging Face folders with a real
tokenizer, tiny tasks, a tiny hub.
"""

import gc
import os
import signal
from pathlib import Path

import pytest

import support.environment  # noqa: F401
from ctsft.data.sources import Files
from ctsft.data.task import Task
from ctsft.model.loading import load_model, wrap
from ctsft.runs import explorations, launcher
from ctsft.runs import fork_server as fork_server_module
from support.hub import Hub
from support.models import FAMILIES
from support.tasks import LABELS, PROMPT, agreed, cued, write_task
from support.tiny import tiny
from support.tokenizers import byte_level

# what takes longest begins first, so that the workers of a parallel run end together
LONGEST = (
    "browser",
    "unit/jobs/test_nothing_lost.py",
    "package",
    "unit/experiment",
    "unit/cli",
    "unit/attribution/test_several_processes.py",
    "unit/jobs",
    "unit/runs",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """In a parallel run one worker takes a whole file, and one takes all browser tests."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return "browser" if path.startswith("tests/browser/") else path

    return Files(config, log)


def pytest_collection_modifyitems(items):
    def rank(item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        starts = (i for i, part in enumerate(LONGEST) if path.startswith(part))
        return next(starts, len(LONGEST))

    items.sort(key=rank)


gc.disable()  # while the tests are collected

# a shell that starts the tests behind "&" ignores SIGINT for them, nohup SIGHUP; tests send both
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish():
    """Everything imported so far stays: the collector, which libraries call at every turn, never
    looks at it.
    """
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Run folders of this test only; the program's recorded runs are not among them."""
    monkeypatch.setenv("CTSFT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(explorations, "RECORDED", tmp_path / "recorded")
    return tmp_path / "home"


@pytest.fixture(scope="session")
def prepared():
    """A process that has imported what jobs need; None where forking is not safe."""
    if launcher.prepare():
        assert launcher.is_prepared(120)
    server, fork_server_module._server = fork_server_module._server, None
    return server


@pytest.fixture
def fork_server(prepared, monkeypatch) -> None:
    """Jobs and shell commands that the test starts are forked, where that is safe."""
    monkeypatch.setattr(fork_server_module, "_server", prepared)


@pytest.fixture(scope="session")
def tokenizer():
    return byte_level()


@pytest.fixture(scope="session")
def build(tokenizer):
    """build(family, **config) -> a new `Model` in memory, its tokenizer beside it; the same numbers
    every time.
    """

    def make(family: str, **overrides):
        return wrap(
            tiny(family, **FAMILIES[family] | {"vocab_size": len(tokenizer)} | overrides),
            tokenizer,
            f"tiny-{family}",
        )

    return make


@pytest.fixture(scope="session")
def folders(build, tmp_path_factory) -> dict[str, Path]:
    """A Hugging Face folder of each family."""
    family_folders = {}
    for family in FAMILIES:
        family_folders[family] = tmp_path_factory.mktemp("models") / family
        model = build(family)
        model.hf.save_pretrained(family_folders[family])
        model.tokenizer.save_pretrained(family_folders[family])
    return family_folders


@pytest.fixture(scope="session")
def loaded(folders):
    """{family: Model}, loaded from the folders once. Not to be changed by a test."""
    return {family: load_model(folder, device="cpu") for family, folder in folders.items()}


@pytest.fixture(scope="session")
def task() -> Task:
    """Prompt and labels; its rows come from elsewhere."""
    return Task(
        "reviews",
        PROMPT,
        LABELS,
        "indonesian",
        ("javanese",),
        Files(Path("nowhere"), "{language}/{split}.csv"),
    )


@pytest.fixture
def hub(monkeypatch):
    """The local hub, empty; `hub.pages[path] = bytes, headers` puts something there."""
    monkeypatch.setattr(Hub, "pages", {})
    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setattr(Hub, "uploads", {})
    monkeypatch.setattr(Hub, "blobs", {})
    return Hub


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with NusaX and XNLI files that the environment names."""
    folder = os.environ.get("CTSFT_TEST_DATA")
    if not folder:
        pytest.skip(
            "CTSFT_TEST_DATA is not set: it names a folder with the published NusaX and XNLI files"
        )
    if not Path(folder).is_dir():
        pytest.skip(f"CTSFT_TEST_DATA names {folder}, which is not a folder")
    return Path(folder)


@pytest.fixture(scope="session")
def experiment_words(folders, loaded, task, tmp_path_factory) -> dict:
    """A design's words: a tiny Qwen2 that predicts its source rows correctly, two targets that can
    be learnt.
    """
    rows = agreed(loaded["qwen2"], task, each=18)
    tables = {
        ("indonesian", "train"): rows[:36],
        ("indonesian", "valid"): rows[36:45],
        ("indonesian", "test"): rows[45:],
    }
    for i, target in enumerate(("javanese", "acehnese")):
        tables |= {
            (target, split): cued(n, 10 * i + j)
            for j, (split, n) in enumerate({"train": 40, "valid": 9, "test": 9}.items())
        }
    path = write_task(tmp_path_factory.mktemp("task"), tables, targets=["javanese", "acehnese"])
    return {
        "name": "tiny",
        "model": str(folders["qwen2"]),
        "task": str(path),
        "targets": ["javanese"],
        "methods": ["near_zero", "full"],
        "n": [6],
        "seeds": [1, 2],
        "k": 2,
        "discovery": {"size": 6, "method": "atp"},
        "device": "cpu",
        "settings": [{"name": "one", "epochs": 1, "learning_rate": 1e-2}],
    }
