"""What the tests share, all of it offline: tiny models as real Hugging Face folders with a real
tokenizer, tiny tasks, a tiny hub.

The hub is an HTTP server of this process; huggingface_hub reads its address and its cache folder
when it is imported, so both are set here, before any test imports it. No test can reach a real one
by accident.
"""

import csv
import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tiny import tiny
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ctsft.data.sources import Files
from ctsft.data.task import Example, Task
from ctsft.model.evaluation import predict
from ctsft.model.loading import load_model, wrap

LABELS = ("negative", "neutral", "positive")


PROMPT = "{text} | sentiment:"


WORDS = (
    "the",
    "a",
    "of",
    "and",
    "rice",
    "tea",
    "house",
    "road",
    "very",
    "quite",
    "bad",
    "poor",
    "plain",
    "usual",
    "good",
    "great",
    "came",
    "went",
    "was",
    "is",
    "here",
    "there",
    "slow",
    "fast",
    "cold",
    "warm",
    "old",
    "new",
    "service",
    "room",
    "price",
    "film",
    "play",
    "song",
    "day",
    "night",
    "rain",
    "sun",
)


CUES = {"negative": ("bad", "poor"), "neutral": ("plain", "usual"), "positive": ("good", "great")}


class Hub(BaseHTTPRequestHandler):
    """Answers GET and HEAD from `pages`: path -> (bytes, headers); everything else is 404. `asked`
    keeps what was asked for.
    """

    protocol_version = "HTTP/1.1"
    pages: dict[str, tuple[bytes, dict]] = {}
    asked: list[str] = []

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(f"{self.command} {self.path}")
        # a file that its repository lacks
        known = any(path.startswith(page) for page in self.pages) or "/resolve/" in path
        body, headers = self.pages.get(
            path,
            (
                b'{"error": "not found"}',
                {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"},
            ),
        )
        self.send_response(200 if path in self.pages else 404)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


SERVER = ThreadingHTTPServer(("127.0.0.1", 0), Hub)


SERVER.daemon_threads = True


threading.Thread(target=SERVER.serve_forever, daemon=True).start()


ADDRESS = f"http://127.0.0.1:{SERVER.server_port}"


CLOSED = "http://127.0.0.1:9"  # nobody listens at the discard port


os.environ |= {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_ENDPOINT": ADDRESS,
    "HF_HOME": tempfile.mkdtemp(prefix="ctsft-tests-"),
    "HF_HUB_DISABLE_XET": "1",
    "CTSFT_HOME": tempfile.mkdtemp(prefix="ctsft-tests-"),
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


# the seeds give each label its share of the predictions
FAMILIES = {
    "gpt2": {"seed": 2, "n_positions": 160},
    "llama": {"seed": 1, "max_position_embeddings": 160},
    "mistral": {"seed": 1, "max_position_embeddings": 160, "sliding_window": 4},
    "qwen2": {"seed": 2, "max_position_embeddings": 160},
}


# tiny tensors: more threads only wait for each other
torch.set_num_threads(1)


def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained here: every word of WORDS, and every label with its leading space, is
    one token.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    trainer = trainers.BpeTrainer(
        vocab_size=520,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=["<|end|>"],
    )
    core.train_from_iterator([" " + " ".join((*WORDS, *LABELS, "|", "sentiment:"))] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>")


def sentence_piece() -> PreTrainedTokenizerFast:
    """A tokenizer that puts a space of its own in front of every text, as Llama's and Mistral's do,
    and `<s>` before that.
    """
    from tokenizers.processors import TemplateProcessing

    letters = [(c, -9.0) for c in "abcdefghijklmnopqrstuvwxyz|:"]
    pieces = [
        ("<unk>", 0.0),
        ("<s>", 0.0),
        ("▁", -3.0),
        *(("▁" + word, -1.0) for word in (*WORDS, *LABELS)),
        *letters,
    ]
    core = Tokenizer(models.Unigram(pieces, unk_id=0))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>")


def texts(n: int, seed: int = 0, longest: int = 9) -> list[str]:
    """Different texts of 2 to `longest` words."""
    draw = random.Random(seed)
    return list(
        dict.fromkeys(
            " ".join(draw.choices(WORDS, k=draw.randint(2, longest))) for _ in range(3 * n)
        )
    )[:n]


def cued(n: int, seed: int = 0) -> list[Example]:
    """Rows whose label a word of theirs tells, so that a tiny model can learn them; labels take
    turns.
    """
    draw, rows = random.Random(seed), []
    plain = [word for word in WORDS if not any(word in words for words in CUES.values())]
    for i in range(n):
        label = LABELS[i % 3]
        words = [*draw.choices(plain, k=draw.randint(2, 5)), draw.choice(CUES[label])]
        draw.shuffle(words)
        rows.append(Example(f"c{i}", " ".join(words), label, {"text": " ".join(words)}))
    return rows


def write_csv(path: Path, rows: list[Example]):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(
            [("id", "text", "label"), *((row.id, row.text, row.label) for row in rows)]
        )


def task_words(**changes) -> dict:
    """A task file's content; a change to None takes the key out."""
    words = {
        "name": "reviews",
        "prompt": PROMPT,
        "labels": list(LABELS),
        "source": "indonesian",
        "targets": ["javanese"],
        "files": "{language}/{split}.csv",
    }
    return {key: value for key, value in (words | changes).items() if value is not None}


def write_task(
    folder: Path, rows: Mapping[tuple[str, str], list[Example]] | None = None, **changes
) -> Path:
    """A task file and its CSV files: `rows` by (language, split), by default 12, 6 and 6 cued ones
    of both languages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reviews.json"
    path.write_text(json.dumps(task_words(**changes)), encoding="utf-8")
    sizes = {"train": 12, "valid": 6, "test": 6}
    rows = rows or {
        (language, split): cued(n, i)
        for i, language in enumerate(("indonesian", "javanese"))
        for split, n in sizes.items()
    }
    for (language, split), these in rows.items():
        write_csv(folder / language / f"{split}.csv", these)
    return path


def agreed(model, task: Task, each: int, seed: int = 0) -> list[Example]:
    """`each` rows a label whose label is what the model predicts: correctly predicted by
    construction.
    """
    rows = [
        Example(f"a{i}", text, LABELS[0], {"text": text}) for i, text in enumerate(texts(400, seed))
    ]
    found = {label: [] for label in LABELS}
    for row, label in zip(rows, predict(model, task, rows), strict=True):
        found[label].append(Example(row.id, row.text, label, row.fields))
    assert min(map(len, found.values())) >= each, {
        label: len(these) for label, these in found.items()
    }
    return [row for i in range(each) for row in (found[label][i] for label in LABELS)]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Run folders of this test only."""
    monkeypatch.setenv("CTSFT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def unforeseen(request, monkeypatch):
    """What a page tells in a sentence (`explorer.guard`) is an exception of the page to every test
    but the guard's own.
    """
    if "explorer.guard" in sys.modules and request.module.__name__ != "test_guard":
        import streamlit as st

        monkeypatch.setattr(sys.modules["explorer.guard"], "told", st.exception)


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
    found = {}
    for family in FAMILIES:
        found[family] = tmp_path_factory.mktemp("models") / family
        model = build(family)
        model.hf.save_pretrained(found[family])
        model.tokenizer.save_pretrained(found[family])
    return found


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
