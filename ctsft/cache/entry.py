"""One stored result, under a hash of everything that determines it, so that the same computation
runs once.

The hash covers the weights, the model's configuration, number format and type of device; the
prompts as token ids, gold labels and label ids; the means; every setting that changes a number; and
the source text of the engine, so that a change of the code computes again. How much is computed at
a time is left out. A damaged, foreign or altered file counts as absent.
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

# Files and folders of the package whose source text determines stored numbers. Each must exist: a
# list that lacks one would return old scores for new code.
ENGINE = (
    "attribution",
    "cache",
    "circuit/faithfulness.py",
    "data",
    "model",
    "tuning/computed_parameters.py",
    "tuning/float32_copies.py",
    "tuning/lora.py",
    "tuning/lora_settings.py",
    "tuning/masked_training.py",
    "tuning/parameter_masks.py",
    "tuning/partial_parameters.py",
    "tuning/source_fisher.py",
    "tuning/trainable.py",
    "utils/distributed.py",
)

# {kind of result: what was done to get it}, for the note of a stored result
ACTIONS = {
    "pools": "drawn",
    "means": "taken",
    "scores": "scored",
    "fisher": "measured",
    "circuits": "measured",
}


def engine_version(package: Path, engine: tuple[str, ...] = ENGINE) -> str:
    """16 hex digits over the engine's source text in the folder `package`, and over the versions of
    the libraries it computes with.

    Raises FileNotFoundError when something that `engine` names does not exist.
    """
    libraries = f"{torch.__version__} {transformers.__version__}"
    digest = hashlib.blake2b(libraries.encode(), digest_size=8)
    for name in engine:
        part = package / name
        files = sorted(part.rglob("*.py")) if part.is_dir() else [part]
        if not files:
            raise FileNotFoundError(f"{part} holds no source file of the engine")
        for path in files:
            relative = path.relative_to(package).as_posix()
            digest.update(relative.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


# of the code that was imported, even if its files change later
VERSION = engine_version(Path(__file__).resolve().parents[1])


class Entry:
    """The place of one result in the cache: tensors, and fields that JSON can hold.

    kind: one of `store.KINDS`. model: its `model_identity`. about: how a list of the cache
    describes the result ("task", "what"). inputs: everything that determines it beside the model.
    by: the function that computes it. If that function, or the model's family, is not of this
    package, nothing is stored: its source text is not part of the hash.
    """

    def __init__(self, kind: str, model: dict, about: dict, inputs: dict, by: Callable):
        determines = {
            "kind": kind,
            "engine": VERSION,
            "matmul": torch.get_float32_matmul_precision(),
            **{name: model[name] for name in ("model", "config", "dtype", "device")},
            **inputs,
        }
        self.key = json_hash(determines)
        self.path = store.cache_folder() / kind / f"{self.key}.safetensors"
        self.about = {"model": model["name"], **about}
        self.action = ACTIONS[kind]
        built_in = model["built_in"] and by.__module__.startswith("ctsft.")
        self.size_limit = store.size_limit() if built_in else 0

    def read(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        """The stored tensors on the CPU, and the fields; "note" among them says that the result is
        a stored one. None when there is no undamaged result.
        """
        if not self.size_limit:
            return None
        try:
            tensors, fields = self.parse(self.path.read_bytes())
        except Exception:
            # a missing, damaged or foreign file makes its readers raise almost anything
            return None
        store.mark_used(self.path)
        return tensors, fields

    def parse(self, data: bytes) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and fields of a stored file; ValueError for those of another result."""
        header_size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + header_size])
        about = json.loads(header["__metadata__"]["ctsft"])
        tensors = load(data)
        if about["key"] != self.key or about["digest"] != tensors_hash(tensors):
            raise ValueError(f"{self.path} holds another result")
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(about["made"]))
        note = f"answered from the cache ({self.action} on {when})"
        return tensors, about["fields"] | {"note": note}

    def write(self, tensors: dict[str, torch.Tensor], fields: dict | None = None):
        """Store a result, unless it is larger than the whole cache may be. What cannot be written
        is not stored, with a warning.
        """
        if not self.size_limit:
            return
        tensors = {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        about = self.about | {
            "key": self.key,
            "digest": tensors_hash(tensors),
            "made": time.time(),
            "fields": fields or {},
        }
        data = save(tensors, {"ctsft": json.dumps(about)})
        if len(data) <= self.size_limit and store.write_file(self.path, data):
            store.delete_least_recent()
