"""Answers kept on disk under a hash of all that determines them, so that the same question is
computed once.

The hash is over: the weights, the model's configuration, number format and kind of device; the
prompts as token ids, gold labels and label ids; the means; every setting that changes a number; and
the source text of the engine's own modules, so that a change of code asks anew. How much was in
flight is left out. An answer that is torn, foreign or altered counts as absent.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from safetensors.torch import load, save

from ctsft.cache import store
from ctsft.cache.hashing import json_hash, tensors_hash

# The files and folders, below the package, whose source text decides a stored number. Each has to
# be there: a list that names less than it should would answer new code with old scores.
ENGINE = ("attribution", "cache", "data", "model", "utils/distributed.py")
VERBS = {"pools": "drawn", "means": "taken", "scores": "scored"}


def engine_version(package: Path, engine: tuple[str, ...] = ENGINE) -> str:
    """A hash over the engine's source text below `package`, and over the versions of the libraries
    it computes with. FileNotFoundError where something that `engine` names is not there.
    """
    digest = hashlib.blake2b(
        f"{torch.__version__} {transformers.__version__}".encode(), digest_size=8
    )
    for name in engine:
        part = package / name
        files = sorted(part.rglob("*.py")) if part.is_dir() else [part]
        if not files:
            raise FileNotFoundError(f"{part} holds no source file of the engine")
        for path in files:
            where = path.relative_to(package).as_posix()
            digest.update(where.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


# of the code that was imported, whatever stands on disk later
VERSION = engine_version(Path(__file__).resolve().parents[1])


class Entry:
    """One question, and the place of its answer: tensors, and a few words as JSON.

    kind: one of `places.KINDS`; model: its `identity`; about: what a list says of it; asked:
    everything that determines the answer beside the model. by: the function that computes it. With
    one, or a family, of the user's own nothing is kept: its source is not hashed.
    """

    def __init__(self, kind: str, model: dict, about: dict, asked: dict, by: Callable):
        self.about = {"model": model["name"], **about}
        self.verb = VERBS[kind]
        self.key = json_hash(
            {
                "kind": kind,
                "engine": VERSION,
                "matmul": torch.get_float32_matmul_precision(),
                **{name: model[name] for name in ("model", "config", "dtype", "device")},
                **asked,
            }
        )
        self.path = store.cache_folder() / kind / f"{self.key}.safetensors"
        built_in = model["built_in"] and by.__module__.startswith("ctsft.")
        self.limit = store.size_limit() if built_in else 0

    def read(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        """Tensors on the CPU, and the words, among them under "note" that they were kept; None when
        there is no whole answer.
        """
        if not self.limit:
            return None
        try:
            data = self.path.read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            about, tensors = json.loads(header["__metadata__"]["ctsft"]), load(data)
            if about["key"] != self.key or about["digest"] != tensors_hash(tensors):
                return None
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(about["made"]))
            words = about["words"] | {"note": f"answered from the cache ({self.verb} on {when})"}
        except Exception:
            # whatever a file that is not there, torn or foreign makes its readers raise
            return None
        store.mark_used(self.path)
        return tensors, words

    def write(self, tensors: dict[str, torch.Tensor], words: dict | None = None):
        """Keep an answer, if it fits; never fails on the disk's account."""
        if not self.limit:
            return
        tensors = {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        about = self.about | {
            "key": self.key,
            "digest": tensors_hash(tensors),
            "made": time.time(),
            "words": words or {},
        }
        data = save(tensors, {"ctsft": json.dumps(about)})
        if len(data) <= self.limit and store.write_file(self.path, data):
            store.delete_least_recent()
