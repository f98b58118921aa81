"""The built-in tasks (demo, NusaX-Senti, XNLI), and `load_task`: by name or from a task file."""

from pathlib import Path

from ctsft.data.sources import Files, Hub
from ctsft.data.task import Task
from ctsft.data.task_file import read_task
from ctsft.utils.assets import ASSETS
from ctsft.utils.errors import UserError, quoted

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

XNLI = {  # {language: its code}
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
    if data_dir:
        rows = Files(
            data_dir,
            "{split}-{language}.tsv",
            language_names=XNLI,
            split_names={"valid": "dev"},
            columns=("premise", "hypothesis", "label"),
            quotes=False,  # as published
        )
    else:
        rows = Hub(
            "facebook/xnli",
            config="{language}",
            language_names=XNLI,
            split_names={"valid": "validation"},
        )
    return Task(
        "xnli",
        prompt="Premise: {premise} Hypothesis: {hypothesis} Label:",
        labels=("entail", "neutral", "contradiction"),
        source="english",
        targets=tuple(language for language in XNLI if language != "english"),
        rows=rows,
        rename={"entailment": "entail"},
    )


TASKS = {"demo": demo, "nusax": nusax, "xnli": xnli}


def load_task(name: str, data_dir: str | Path | None = None) -> Task:
    """A task by name ("demo", "nusax", "xnli"), or by the path of a task file. `data_dir`: read its
    rows from the files in this folder.

    Raises UserError for a name that is not a task, a folder that does not exist, or a task file
    that is wrong.
    """
    name = str(name)
    folder = None if data_dir is None else Path(data_dir)
    if folder is not None and not folder.is_dir():
        raise UserError(
            f"The data folder {quoted(str(data_dir), 250)} does not exist; choose one that holds"
            " the task's files."
        )
    if name in TASKS:
        return TASKS[name](folder)
    if not name.endswith(".json"):
        raise UserError(
            f"{quoted(name)} is not a task; choose from {', '.join(TASKS)}, or the path of a task"
            " file that ends in .json."
        )
    return read_task(Path(name), folder, TASKS)
