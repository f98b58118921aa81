"""The files of a model, in a folder or on the Hugging Face hub: what is checked before they are
read, and what identifies them afterwards.
"""

import logging
import os
import re
import shlex
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from huggingface_hub import constants, list_repo_files, try_to_load_from_cache

from ctsft.utils.assets import ASSETS
from ctsft.utils.errors import UserError

# transformers would request a conversion to safetensors from a service on the web
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "true")

BUNDLED_MODELS = {"demo": ASSETS / "demo" / "model", "demo-base": ASSETS / "demo" / "base"}
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_TIMEOUT = 5  # seconds

# endings of weight files that are not safetensors
PICKLE_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")

# seconds; longer than any file system rounds a file's time
SETTLE_TIME = 2.0


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files are."""

    name: str  # what the user called the model
    source: str  # its folder, or its name on the hub
    local: bool  # whether it is a folder

    @classmethod
    def find(cls, name_or_path: str | Path) -> "ModelFiles":
        """By the name of a bundled model, by folder, or by hub name. Raises UserError when there is
        no such folder, and the hub does not have it or cannot be reached.
        """
        name = str(name_or_path)
        source = str(BUNDLED_MODELS.get(name, name))
        local = bool(source) and Path(source).is_dir()
        if not local:
            check_hub(name)
        return cls(name, source, local)

    def read(self, what: str, auto_class, **options):
        """`auto_class.from_pretrained` of these files; any error becomes a UserError that names
        `what` ("config").
        """
        try:
            with quiet():
                return auto_class.from_pretrained(self.source, trust_remote_code=False, **options)
        except UserError:
            raise
        except Exception as error:
            # transformers raises OSError, ValueError, KeyError, SafetensorError and others
            raise self.unreadable(what, error) from error

    def unreadable(self, what: str, error: Exception) -> UserError:
        """The UserError for `what` ("config"), which ended in another error when it was read."""
        reason = " ".join(str(error).split())[:200]
        return UserError(
            f"The {what} of {self.name!r} could not be loaded ({type(error).__name__}:"
            f" {reason}); choose a Hugging Face folder with config.json, tokenizer files and"
            " *.safetensors."
        )

    def file_names(self) -> list[str]:
        if self.local:
            return [path.name for path in Path(self.source).iterdir()]
        # offline, a copy in the cache is used; a file that it lacks is reported when it is read
        with suppress(Exception):
            return list_repo_files(self.source)
        return []

    @property
    def has_tokenizer(self) -> bool:
        return "tokenizer_config.json" in self.file_names()

    def check_safetensors(self, auto_class: str):
        """Raise UserError for weights that are there as pickle only, which can run code when it is
        read; the error says how to convert them with `auto_class`.
        """
        names = self.file_names()
        pickles = sorted(name for name in names if name.endswith(PICKLE_ENDINGS))
        if not pickles or any(name.endswith(".safetensors") for name in names):
            return
        converted = f"{Path(self.source).name}-safetensors"
        code = (
            f"from transformers import {auto_class} as M, AutoTokenizer as T;"
            f" M.from_pretrained({self.source!r},"
            f" use_safetensors=False).save_pretrained({converted!r});"
            f" T.from_pretrained({self.source!r}).save_pretrained({converted!r})"
        )
        raise UserError(
            f"The weights of {self.name!r} are stored as pickle only ({pickles[0]}), which can run"
            " code when it is read; if you trust the author, convert them with"
            f" `{shlex.join(['python', '-c', code])}` and load the folder {converted!r}."
        )

    def stamps(self) -> list | None:
        """Identifies the files' content: names, sizes and times, or the hub's commit. None when it
        is not known, or when files are so new that a further change might not alter their times.
        """
        if not self.local:
            copy = try_to_load_from_cache(self.source, constants.CONFIG_NAME)
            return ["hub", self.source, Path(copy).parent.name] if isinstance(copy, str) else None
        folder = Path(self.source)
        stats = {
            path.name: path.stat()
            for path in sorted(folder.iterdir())
            if path.suffix in (".json", ".safetensors")
        }
        latest = max((max(stat.st_mtime, stat.st_ctime) for stat in stats.values()), default=0.0)
        if latest > time.time() - SETTLE_TIME:
            return None
        files = [
            [name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            for name, stat in stats.items()
        ]
        return [str(folder.resolve()), *files]


@contextmanager
def quiet() -> Iterator[None]:
    """Inside the `with`, transformers and peft print no warnings of their own: what a user should
    know is an error or a note here.
    """
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(category=FutureWarning, action="ignore"):
            yield
    finally:
        logger.setLevel(level)


def check_hub(name: str):
    """Raise UserError at once for what is neither a folder nor a hub name, and for a hub name that
    is not in the local cache while the hub cannot be reached or does not have it.
    """
    if not HUB_NAME.fullmatch(name) or name.startswith((".", "/")):
        raise UserError(
            f"There is no model folder {name!r}; choose a folder with config.json and safetensors"
            " weights, or a hub name such as Qwen/Qwen2.5-0.5B."
        )
    if isinstance(try_to_load_from_cache(name, constants.CONFIG_NAME), str):
        return
    address = f"{constants.ENDPOINT}/api/models/{name}"
    try:
        answer = requests.head(address, timeout=HUB_TIMEOUT, allow_redirects=True)
    except requests.RequestException as error:
        raise UserError(
            f"{name!r} is not a folder here, and the hub at {constants.ENDPOINT} cannot be reached"
            f" ({type(error).__name__}); check the name or the network, or choose a local folder."
        ) from None
    if answer.status_code in (401, 403, 404):
        raise UserError(
            f"The hub at {constants.ENDPOINT} has no public model {name!r} (answer"
            f" {answer.status_code}); check the spelling, or log in with `hf auth login` if it is"
            " gated."
        )
