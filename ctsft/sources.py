"""Where labelled rows come from: a local file, a file at an address, or a dataset of the Hugging Face hub.

A source answers two questions for a (language, split) pair: is it there, and what are its rows. Nothing here knows of
prompts or models. Files are read by pandas, those at an address after a copy of them is kept; datasets of the hub by `datasets`,
which caches them.
"""
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import requests
from huggingface_hub import constants

from ctsft.errors import UserError

SPLITS = ("train", "valid", "test")
READERS = {  # by ending; every cell stays text: "NA" and "null" are words that people write
    ".csv": lambda path, names: pd.read_csv(path, names=names, dtype=str, keep_default_na=False),
    ".tsv": lambda path, names: pd.read_csv(path, names=names, dtype=str, keep_default_na=False, sep="\t", quoting=3),
    ".jsonl": lambda path, names: pd.read_json(path, lines=True, dtype=False),
}


@dataclass(frozen=True)
class Files:
    """Local files, one for each language and split: `pattern` holds `{language}` and `{split}`; either may be spelt another way."""
    folder: Path
    pattern: str
    language_names: dict = field(default_factory=dict)   # language -> how the file name spells it
    split_names: dict = field(default_factory=dict)
    columns: tuple | None = None                         # for files without a header line

    def path(self, language: str, split: str) -> Path:
        words = {"language": self.language_names.get(language, language), "split": self.split_names.get(split, split)}
        try:
            return Path(self.folder) / self.pattern.format(**words)
        except (KeyError, IndexError, ValueError):
            raise UserError(f"The file pattern {self.pattern!r} cannot be filled in; its braces may hold only {{language}} and {{split}}.") from None

    def splits(self, language: str) -> list[str]:
        """The splits that are there."""
        return [split for split in SPLITS if self.path(language, split).is_file()]

    def read(self, language: str, split: str) -> pd.DataFrame:
        path = self.path(language, split)
        if not path.is_file():
            here = self.splits(language)
            found = f"of {language!r} there is only {', '.join(here)}" if here else f"nothing of {language!r} is there"
            raise UserError(f"No {split!r} rows of {language!r}: {path} does not exist ({found}); "
                            f"name another folder (--data-dir) or another split (--split).")
        return read_table(path, self.columns)


@dataclass(frozen=True)
class Hub:
    """A dataset of the hub, or files at a publisher's address; a copy stays on disk."""
    dataset: str                                         # "facebook/xnli", or "csv" with `url`
    config: str | None = None                            # may hold {language}
    url: str | None = None                               # may hold {language} and {split}
    language_names: dict = field(default_factory=dict)
    split_names: dict = field(default_factory=dict)

    def splits(self, language: str) -> list[str]:
        """All three: what the publisher really has shows when it is read."""
        return list(SPLITS)

    def read(self, language: str, split: str) -> pd.DataFrame:
        words = {"language": self.language_names.get(language, language), "split": self.split_names.get(split, split)}
        address = (self.url or self.dataset).format(**words)
        try:
            if self.url:
                copy = fetched(address)
            else:
                import datasets  # a second of import time that files do not pay
                table = datasets.load_dataset(self.dataset, self.config.format(**words) if self.config else None, split=words["split"])
        except Exception as error:  # the library raises a dozen kinds; to the user all mean "could not be fetched"
            raise UserError(f"The {split!r} rows of {language!r} could not be fetched from {address} ({type(error).__name__}: "
                            f"{str(error).splitlines()[0][:160]}); check the network, or name a local folder (--data-dir).") from error
        if self.url:
            return read_table(copy)
        frame = table.to_pandas()
        for name, feature in table.features.items():
            if isinstance(feature, datasets.ClassLabel):
                frame[name] = [feature.int2str(int(value)) if value >= 0 else "" for value in frame[name]]
        return frame


def fetched(address: str) -> Path:
    """The file at an address, kept in the Hugging Face cache folder; raises what `requests` raises."""
    path = Path(constants.HF_HOME) / "ctsft" / re.sub(r"[^\w.-]+", "-", address)
    if not path.is_file():
        answer = requests.get(address, timeout=20)
        answer.raise_for_status()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_bytes(answer.content)
        part.replace(path)
    return path


def read_table(path: str | os.PathLike, columns: tuple | None = None) -> pd.DataFrame:
    """Rows of a CSV, TSV or JSONL file as text. Raises UserError for another ending, an empty or an unreadable file."""
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path.name} ends in {path.suffix!r}; give a file that ends in {', '.join(READERS)}.")
    try:
        frame = reader(path, list(columns) if columns else None)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path} could not be read as {path.suffix[1:].upper()} ({str(error).splitlines()[0][:160]}); "
                        f"save it as UTF-8 with one row a line.") from error
    if frame.empty:
        raise UserError(f"{path} holds no rows; give a file with a header line and at least one labelled text.")
    return frame
