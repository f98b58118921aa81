"""Where labelled rows come from: a local file, a file at an address, or a dataset of the Hugging
Face hub.

A source tells for a language and split whether its rows exist, and reads them. Prompts and models
are unknown here. Remote files come through `datasets`, which stores a copy; files are read by
pandas.
"""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

import pandas as pd

from ctsft.utils.errors import UserError

SPLITS = ("train", "valid", "test")

# {ending: reader of (path, column names)}; cells stay text, "NA" and "null" too
READERS = {
    ".csv": lambda path, names: pd.read_csv(path, names=names, dtype=str, keep_default_na=False),
    ".tsv": lambda path, names: pd.read_csv(
        path, names=names, dtype=str, keep_default_na=False, sep="\t", quoting=3
    ),
    ".jsonl": lambda path, names: pd.read_json(path, lines=True, dtype=False),
}


@dataclass(frozen=True)
class Files:
    """Local files, one for each language and split: `pattern` holds `{language}` and `{split}`.
    File names may spell them differently (`language_names`, `split_names`).
    """

    folder: Path
    pattern: str
    language_names: dict = field(default_factory=dict)  # {language: its name in file names}
    split_names: dict = field(default_factory=dict)
    columns: tuple | None = None  # for files without a header line

    def path(self, language: str, split: str) -> Path:
        """The file of a language and split, whether it exists or not. UserError for a pattern that
        cannot be filled in, or that leads out of the folder.
        """
        name = self.file_name(language, split)
        folder = os.path.abspath(self.folder)
        file = os.path.abspath(os.path.join(folder, name))
        if "\0" in name or os.path.commonpath([folder, file]) != folder:
            raise UserError(
                f"The file {name!r} is outside of the task's folder {folder}; name files below it,"
                " or choose that folder as data folder."
            )
        return Path(self.folder) / name

    def file_name(self, language: str, split: str) -> str:
        values = {
            "language": self.language_names.get(language, language),
            "split": self.split_names.get(split, split),
        }
        pattern = str(self.pattern)
        try:
            fields = {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
            if not fields <= set(values):
                raise ValueError
            return pattern.format(**values)
        except ValueError:
            raise UserError(
                f"The file pattern {self.pattern!r} cannot be filled in; its braces may hold only"
                " {language} and {split}."
            ) from None

    def splits(self, language: str) -> list[str]:
        """The splits whose files exist."""
        return [split for split in SPLITS if self.path(language, split).is_file()]

    def read(self, language: str, split: str) -> pd.DataFrame:
        """The rows of a language and split; UserError when there is no file."""
        path = self.path(language, split)
        if path.is_file():
            return read_table(path, self.columns)
        splits = self.splits(language)
        existing = f"nothing of {language!r} is there"
        if splits:
            existing = f"of {language!r} there is only {', '.join(splits)}"
        raise UserError(
            f"No {split!r} rows of {language!r}: {path} does not exist ({existing}); choose"
            " another folder (--data-dir) or another split (--split)."
        )


@dataclass(frozen=True)
class Hub:
    """A dataset of the hub, or files at a publisher's address; a copy stays on disk."""

    dataset: str  # "facebook/xnli", or "csv" with `url`
    config: str | None = None  # may hold {language}
    url: str | None = None  # may hold {language} and {split}
    language_names: dict = field(default_factory=dict)
    split_names: dict = field(default_factory=dict)

    def splits(self, language: str) -> list[str]:
        """All three: which of them the publisher has is known when they are read."""
        return list(SPLITS)

    def read(self, language: str, split: str) -> pd.DataFrame:
        """The rows of a language and split; UserError when they cannot be downloaded."""
        values = {
            "language": self.language_names.get(language, language),
            "split": self.split_names.get(split, split),
        }
        address = (self.url or self.dataset).format(**values)
        try:
            if self.url:
                return read_table(download(address), ending=Path(address).suffix)
            config = self.config.format(**values) if self.config else None
            return load_dataset(self.dataset, config, values["split"])
        except UserError:
            raise
        except Exception as error:
            # `datasets` raises a dozen kinds of errors
            raise UserError(
                f"The {split!r} rows of {language!r} could not be fetched from {address}"
                f" ({type(error).__name__}: {' '.join(str(error).split())[:160]}); check the"
                " network, or choose a local folder (--data-dir)."
            ) from error


def download(address: str) -> str:
    """The path of a local copy of a file. A `datasets` loader would turn the id 007 into 7."""
    import datasets  # takes a second to import, which reading local files does not need

    config = datasets.DownloadConfig(max_retries=1, disable_tqdm=True)
    return datasets.DownloadManager(download_config=config).download(address)


def load_dataset(name: str, config: str | None, split: str) -> pd.DataFrame:
    """A dataset of the hub, its class numbers replaced by their names ("" for a missing one)."""
    import datasets

    table = datasets.load_dataset(name, config, split=split)
    frame = table.to_pandas()
    for column, feature in table.features.items():
        if isinstance(feature, datasets.ClassLabel):
            numbers = map(int, frame[column])
            frame[column] = [feature.int2str(number) if number >= 0 else "" for number in numbers]
    return frame


def read_table(
    path: str | os.PathLike,
    columns: tuple | None = None,
    ending: str | None = None,
    data: bytes | None = None,
) -> pd.DataFrame:
    """Rows of a CSV, TSV or JSONL file as text. `columns`: names for a file without a header line;
    `ending`: in place of that of the name; `data`: the file's bytes, if they are in memory already.

    Raises UserError for another ending, and for an empty or unreadable file.
    """
    path = Path(path)
    ending = ending or path.suffix
    reader = READERS.get(ending.lower())
    if reader is None:
        raise UserError(
            f"{path.name} ends in {ending!r}; choose a file that ends in {', '.join(READERS)}."
        )
    source = path if data is None else io.BytesIO(data)
    try:
        frame = reader(source, list(columns) if columns else None)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(
            f"{path} could not be read as {ending[1:].upper()}"
            f" ({' '.join(str(error).split())[:160]}); save it as UTF-8 with one row a line."
        ) from error
    if frame.empty:
        raise UserError(
            f"{path} holds no rows; choose a file with a header line and at least one labelled"
            " text."
        )
    return frame
