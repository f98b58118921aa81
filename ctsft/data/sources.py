"""Where labelled rows come from: a local file, a file at an address, or a dataset of the Hugging
Face hub.

A source answers two questions for a (language, split) pair: is it there, and what are its rows.
Nothing here knows of prompts or models. What is remote comes through `datasets`, which keeps a
copy; files are read by pandas.
"""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

import pandas as pd

from ctsft.utils.errors import UserError

SPLITS = ("train", "valid", "test")

READERS = {  # by ending; every cell stays text: "NA" and "null" are words that people write
    ".csv": lambda path, names: pd.read_csv(path, names=names, dtype=str, keep_default_na=False),
    ".tsv": lambda path, names: pd.read_csv(
        path, names=names, dtype=str, keep_default_na=False, sep="\t", quoting=3
    ),
    ".jsonl": lambda path, names: pd.read_json(path, lines=True, dtype=False),
}


@dataclass(frozen=True)
class Files:
    """Local files, one for each language and split: `pattern` holds `{language}` and `{split}`;
    either may be spelt another way.
    """

    folder: Path
    pattern: str
    # language -> how the file name spells it
    language_names: dict = field(default_factory=dict)
    split_names: dict = field(default_factory=dict)
    columns: tuple | None = None  # for files without a header line

    def path(self, language: str, split: str) -> Path:
        words = {
            "language": self.language_names.get(language, language),
            "split": self.split_names.get(split, split),
        }
        try:
            asked = {
                field
                for _, field, _, _ in Formatter().parse(str(self.pattern))
                if field is not None
            }
            if not asked <= set(words):
                raise ValueError
            name = str(self.pattern).format(**words)
        except ValueError:
            raise UserError(
                f"The file pattern {self.pattern!r} cannot be filled in; its braces may hold only"
                " {language} and {split}."
            ) from None
        folder = os.path.abspath(self.folder)
        if (
            os.path.commonpath([folder, os.path.abspath(os.path.join(folder, name))]) != folder
            or "\0" in name
        ):
            raise UserError(
                f"The file {name!r} is outside of the task's folder {folder}; name files below it,"
                " or that folder as data folder."
            )
        return Path(self.folder) / name

    def splits(self, language: str) -> list[str]:
        """The splits that are there."""
        return [split for split in SPLITS if self.path(language, split).is_file()]

    def read(self, language: str, split: str) -> pd.DataFrame:
        path = self.path(language, split)
        if not path.is_file():
            here = self.splits(language)
            found = (
                f"of {language!r} there is only {', '.join(here)}"
                if here
                else f"nothing of {language!r} is there"
            )
            raise UserError(
                f"No {split!r} rows of {language!r}: {path} does not exist ({found}); "
                "name another folder (--data-dir) or another split (--split)."
            )
        return read_table(path, self.columns)


@dataclass(frozen=True)
class Hub:
    """A dataset of the hub, or files at a publisher's address; a copy stays on disk."""

    dataset: str  # "facebook/xnli", or "csv" with `url`
    config: str | None = None  # may hold {language}
    url: str | None = None  # may hold {language} and {split}
    language_names: dict = field(default_factory=dict)
    split_names: dict = field(default_factory=dict)

    def splits(self, language: str) -> list[str]:
        """All three: what the publisher really has shows when it is read."""
        return list(SPLITS)

    def read(self, language: str, split: str) -> pd.DataFrame:
        words = {
            "language": self.language_names.get(language, language),
            "split": self.split_names.get(split, split),
        }
        address = (self.url or self.dataset).format(**words)
        try:
            import datasets  # a second of import time that local files do not pay

            if self.url:
                # kept as text: a loader would turn the id 007 into 7
                once = datasets.DownloadConfig(max_retries=1, disable_tqdm=True)
                copy = datasets.DownloadManager(download_config=once).download(address)
            else:
                table = datasets.load_dataset(
                    self.dataset,
                    self.config.format(**words) if self.config else None,
                    split=words["split"],
                )
        except Exception as error:
            # the library raises a dozen kinds; to the user all mean "could not be fetched"
            raise UserError(
                f"The {split!r} rows of {language!r} could not be fetched from {address}"
                f" ({type(error).__name__}: {' '.join(str(error).split())[:160]}); check the"
                " network, or name a local folder (--data-dir)."
            ) from error
        if self.url:
            return read_table(copy, ending=Path(address).suffix)
        frame = table.to_pandas()
        for name, feature in table.features.items():
            if isinstance(feature, datasets.ClassLabel):
                frame[name] = [
                    feature.int2str(int(value)) if value >= 0 else "" for value in frame[name]
                ]
        return frame


def read_table(
    path: str | os.PathLike,
    columns: tuple | None = None,
    ending: str | None = None,
    data: bytes | None = None,
) -> pd.DataFrame:
    """Rows of a CSV, TSV or JSONL file as text; `ending` where the name has none; `data`: its
    bytes, if they are in memory already.

    Raises UserError for another ending, an empty or an unreadable file.
    """
    path = Path(path)
    ending = ending or path.suffix
    reader = READERS.get(ending.lower())
    if reader is None:
        raise UserError(
            f"{path.name} ends in {ending!r}; give a file that ends in {', '.join(READERS)}."
        )
    try:
        frame = reader(
            path if data is None else io.BytesIO(data), list(columns) if columns else None
        )
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(
            f"{path} could not be read as {ending[1:].upper()}"
            f" ({' '.join(str(error).split())[:160]}); save it as UTF-8 with one row a line."
        ) from error
    if frame.empty:
        raise UserError(
            f"{path} holds no rows; give a file with a header line and at least one labelled text."
        )
    return frame
