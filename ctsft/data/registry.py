"""The tasks that are built in (demo, NusaX-Senti, XNLI), and `load_task`: by name or from a task file."""

import json
from pathlib import Path

from ctsft.data.sources import Files, Hub
from ctsft.data.task import MAX_LENGTH, Task, placeholders
from ctsft.utils.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def assets_folder(package: Path = PACKAGE) -> Path:
    """The folder of the bundled models and corpus: inside the package where it is installed from
    a wheel, beside it in a checkout.
    """
    installed = package / "assets"
    return installed if installed.is_dir() else package.parent / "assets"


ASSETS = assets_folder()

NUSAX = (
    "acehnese",
    "balinese",
    "banjarese",
    "buginese",
    "english",
    "indonesian",
    "javanese",
    "madurese",
    "minangkabau",
    "ngaju",
    "sundanese",
    "toba_batak",
)

NUSAX_URL = (
    "https://raw.githubusercontent.com/IndoNLP/nusax/main/datasets/sentiment/{language}/{split}.csv"
)

XNLI = {
    "english": "en",
    "arabic": "ar",
    "bulgarian": "bg",
    "chinese": "zh",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hindi": "hi",
    "russian": "ru",
    "spanish": "es",
    "swahili": "sw",
    "thai": "th",
    "turkish": "tr",
    "urdu": "ur",
    "vietnamese": "vi",
}

SENTIMENT = {
    "prompt": "{text} | sentiment:",
    "labels": ("negative", "neutral", "positive"),
    "source": "indonesian",
}


def demo(data_dir: Path | None) -> Task:
    """The corpus that comes with the program (assets/demo/corpus): four parallel languages."""
    folder = data_dir or ASSETS / "demo" / "corpus"
    return Task(
        "demo",
        targets=("javanese", "minangkabau", "english"),
        rows=Files(folder, "{language}/{split}.csv"),
        **SENTIMENT,
    )


def nusax(data_dir: Path | None) -> Task:
    """NusaX-Senti (Winata et al. 2023): sentiment in twelve languages; CC BY-SA 4.0."""
    rows = Files(data_dir, "{language}/{split}.csv") if data_dir else Hub("csv", url=NUSAX_URL)
    return Task(
        "nusax",
        targets=tuple(name for name in NUSAX if name != "indonesian"),
        rows=rows,
        **SENTIMENT,
    )


def xnli(data_dir: Path | None) -> Task:
    """XNLI (Conneau et al. 2018): natural-language inference in fifteen languages; CC BY-NC 4.0."""
    names = {"language_names": XNLI, "split_names": {"valid": "dev"}}
    rows = (
        Files(
            data_dir, "{split}-{language}.tsv", columns=("premise", "hypothesis", "label"), **names
        )
        if data_dir
        else Hub(
            "facebook/xnli",
            config="{language}",
            language_names=XNLI,
            split_names={"valid": "validation"},
        )
    )
    return Task(
        "xnli",
        "Premise: {premise} Hypothesis: {hypothesis} Label:",
        ("entail", "neutral", "contradiction"),
        "english",
        tuple(XNLI)[1:],
        rows,
        rename={"entailment": "entail"},
    )


TASKS = {"demo": demo, "nusax": nusax, "xnli": xnli}


def load_task(name: str, data_dir: str | Path | None = None) -> Task:
    """A task by name ("demo", "nusax", "xnli") or by the path of a task file; `data_dir` reads
    local files instead of remote ones.
    """
    if data_dir is not None and not Path(data_dir).is_dir():
        raise UserError(
            f"The data folder {str(data_dir)!r} does not exist; name one that holds the task's"
            " files."
        )
    folder = Path(data_dir) if data_dir is not None else None
    if str(name) in TASKS:
        return TASKS[str(name)](folder)
    if not str(name).endswith(".json"):
        raise UserError(
            f"{str(name)!r} is not a task; choose from {', '.join(TASKS)}, or give the path of a"
            " task file that ends in .json."
        )
    return task_file(Path(name), folder)


def task_file(path: Path, data_dir: Path | None = None) -> Task:
    """A task of the user's own (JSON, see README); its file pattern is relative to itself, or to
    `data_dir`.
    """
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"The task file {path} does not exist; check the path.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The task file {path} is not valid JSON ({error}); correct it.") from None
    if not isinstance(words, dict):
        raise UserError(
            f"The task file {path} holds a {type(words).__name__}; it has to be one JSON object, as"
            " in README."
        )
    missing = [key for key in ("name", "prompt", "labels", "source") if key not in words]
    if missing or ("files" in words) == ("hub" in words):
        needed = repr(missing[0]) if missing else "exactly one of 'files' and 'hub'"
        raise UserError(
            f"The task file {path} lacks {needed}; it needs name, prompt, labels, source, targets,"
            " and files or hub."
        )
    if not isinstance(words["labels"], list):
        raise UserError(
            f"The task file {path} gives the labels {words['labels']!r}; write them as a list."
        )
    labels = tuple(map(str, words["labels"]))
    if len(set(labels)) < 2 or len(set(labels)) != len(labels):
        raise UserError(
            f"The task file {path} gives the labels {list(labels)}; a task needs at least two, each"
            " once."
        )
    names = {
        "language_names": words.get("language_names", {}),
        "split_names": words.get("split_names", {}),
    }
    if "files" in words:
        rows = Files(
            data_dir or path.resolve().parent, words["files"], columns=words.get("columns"), **names
        )
    else:
        rows = Hub(words["hub"], config=words.get("config"), **names)
    task = Task(
        words["name"],
        words["prompt"],
        labels,
        words["source"],
        tuple(words.get("targets", ())),
        rows,
        rename=words.get("rename", {}),
        max_length=int(words.get("max_length", MAX_LENGTH)),
    )
    placeholders(task.prompt)
    return task
