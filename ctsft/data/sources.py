"""Where labelled rows come from: a local file, a file at an address, or a dataset of the Hugging
Face hub.

A source tells for a language and split whether its rows exist, and reads them. Prompts and models
are unknown here. Remote files come through `datasets`, which stores a copy; files are read by
`ctsft.data.tables`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ctsft.data.cells import cells
from ctsft.data.placeholders import plain_names
from ctsft.data.tables import read_table
from ctsft.utils.errors import UserError, cut, quoted

SPLITS = ("train", "valid", "test")


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
    # whether quotation marks belong to the format of CSV and TSV files; None: each file decides
    quotes: bool | None = None

    def __post_init__(self):
        check_pattern(self.pattern)

    def path(self, language: str, split: str) -> Path:
        """The file of a language and split, whether it exists or not. UserError for a pattern that
        cannot be filled in, or that leads out of the folder.
        """
        name = self.file_name(language, split)
        folder = os.path.abspath(self.folder)
        file = os.path.abspath(os.path.join(folder, name))
        if "\0" in name or os.path.commonpath([folder, file]) != folder:
            raise UserError(
                f"The file {quoted(name)} is outside of the task's folder {folder}; name files"
                " below it, or choose that folder as data folder."
            )
        return Path(self.folder) / name

    def file_name(self, language: str, split: str) -> str:
        values = {
            "language": self.language_names.get(language, language),
            "split": self.split_names.get(split, split),
        }
        return str(self.pattern).format(**values)

    def splits(self, language: str) -> list[str]:
        """The splits whose files exist."""
        return [split for split in SPLITS if exists(self.path(language, split))]

    def read(self, language: str, split: str) -> pd.DataFrame:
        """The rows of a language and split; UserError when there is no file."""
        path = self.path(language, split)
        if exists(path):
            return read_table(path, self.columns, quotes=self.quotes)
        splits = self.splits(language)
        existing = f"nothing of {quoted(language)} is there"
        if splits:
            existing = f"of {quoted(language)} there is only {', '.join(splits)}"
        raise UserError(
            f"No {split!r} rows of {quoted(language)}: {cut(path, 250)} does not exist"
            f" ({existing}); choose"
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
    # the first rows of each split that are streamed; None: the whole dataset is downloaded
    rows: int | None = None

    def __post_init__(self):
        for pattern in filter(None, (self.url, self.config, self.dataset)):
            check_pattern(pattern)

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
            return load_dataset(self.dataset, config, values["split"], self.rows)
        except UserError:
            raise
        except Exception as error:
            # `datasets` raises a dozen kinds of errors
            raise UserError(
                f"The {split!r} rows of {quoted(language)} could not be fetched from"
                f" {cut(address, 250)} ({type(error).__name__}: {cut(error, 160)}); check the"
                " network, or choose a local folder (--data-dir)."
            ) from error


def exists(path: Path) -> bool:
    """Whether a file exists; a name that no file can have is one that does not."""
    try:
        return path.is_file()
    except OSError:
        return False


def download(address: str) -> str:
    """The path of a local copy of a file. A `datasets` loader would turn the id 007 into 7."""
    import datasets  # takes a second to import, which reading local files does not need

    config = datasets.DownloadConfig(max_retries=1, disable_tqdm=True)
    return datasets.DownloadManager(download_config=config).download(address)


def load_dataset(
    name: str, config: str | None, split: str, rows: int | None = None
) -> pd.DataFrame:
    """A dataset of the hub as cells, its class numbers replaced by their names ("" for a missing
    one). `rows`: only the first, which are streamed: the rest is not downloaded.
    """
    import datasets

    if rows is None:
        table = datasets.load_dataset(name, config, split=split)
        features, read = table.features, table
    else:
        stream = datasets.load_dataset(name, config, split=split, streaming=True)
        first = list(stream.take(rows))
        names = first[0] if first else ()
        features = stream.features or dict.fromkeys(names)
        read = {column: [row.get(column) for row in first] for column in features}
    columns = {}
    for column, feature in features.items():
        values = read[column]  # Python's own numbers: pandas would turn 0 beside null into 0.0
        if isinstance(feature, datasets.ClassLabel):
            names = [None if number is None else int(number) for number in values]
            values = [
                feature.int2str(number) if number is not None and number >= 0 else ""
                for number in names
            ]
        columns[column] = cells(values, cut(name))
    return pd.DataFrame(columns, dtype=object)


def check_pattern(pattern: str):
    """UserError for a pattern whose braces hold anything but {language} and {split}."""
    try:
        known = set(plain_names(str(pattern))) <= {"language", "split"}
    except ValueError:
        known = False
    if not known:
        raise UserError(
            f"The file pattern {quoted(pattern)} cannot be filled in; its braces may hold only"
            " {language} and {split}."
        )
