"""The fingerprint of a model's weights: hashed once, and looked up while its files have not changed."""

import json
from pathlib import Path

import transformers
from accelerate.utils.modeling import get_state_dict_offloaded_model

from ctsft.cache import store
from ctsft.cache.entry import VERSION
from ctsft.cache.hashing import json_hash, tensors_hash
from ctsft.model.families import FAMILIES

# of a configuration: change no number
IGNORED_CONFIG = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "architectures",
    "id2label",
    "label2id",
)

MAX_FINGERPRINTS = 200  # model folders whose fingerprint is remembered


def model_identity(model) -> dict:
    """What an answer depends on of a model: weights, configuration, number format, kind of device;
    `built_in`: whether its family is one of this program's.
    """
    return {
        "name": model.name,
        "model": cached_fingerprint(model),
        "config": {
            name: value
            for name, value in model.hf.config.to_dict().items()
            if name not in IGNORED_CONFIG
        },
        "dtype": str(model.dtype),
        "device": model.device.type,
        "built_in": FAMILIES[model.model_type].__module__.startswith("ctsft."),
    }


def cached_fingerprint(model) -> str:
    """`model.fingerprint`, looked up instead of computed where the model's files were hashed before
    and are the same ones.
    """
    files = model.source_files
    if files is None or model.has_fingerprint or not store.size_limit():
        return model.fingerprint
    path, key = (
        store.cache_folder() / "fingerprints.json",
        json_hash([files, str(model.dtype), transformers.__version__, VERSION]),
    )
    known = read_fingerprints(path)
    if key in known:
        model.fingerprint = known[key]
    else:
        store.write_file(
            path,
            json.dumps(
                dict([*known.items(), (key, model.fingerprint)][-MAX_FINGERPRINTS:])
            ).encode(),
        )
    return model.fingerprint


def read_fingerprints(path: Path) -> dict[str, str]:
    """The file of fingerprints; {} when it is not there or not whole."""
    try:
        known = json.loads(path.read_bytes())
        return {
            key: value
            for key, value in known.items()
            if isinstance(value, str) and len(value) == 16
        }
    except (OSError, ValueError, AttributeError):
        return {}


def weights_hash(hf) -> str:
    """A hash over every weight, by name, those that accelerate keeps on disk included."""
    away = any(value.is_meta for value in hf.parameters()) and hasattr(hf, "hf_device_map")
    return tensors_hash(get_state_dict_offloaded_model(hf) if away else hf.state_dict())
