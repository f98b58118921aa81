"""The fingerprint of a model's weights: computed once, and looked up until its files change."""

import json
from pathlib import Path

import transformers
from accelerate.utils.modeling import get_state_dict_offloaded_model

from ctsft.cache import store
from ctsft.cache.entry import VERSION
from ctsft.cache.hashing import json_hash, tensors_hash
from ctsft.model.families import FAMILIES

# entries of a configuration that do not change what the model computes
IGNORED_CONFIG = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "architectures",
    "id2label",
    "label2id",
)

# entries in the file of fingerprints
MAX_FINGERPRINTS = 200


def model_identity(model) -> dict:
    """What results depend on of a model: weights, configuration, number format and type of device;
    `built_in`: whether its family is defined in this package.
    """
    config = model.hf.config.to_dict()
    return {
        "name": model.name,
        "model": cached_fingerprint(model),
        "config": {name: value for name, value in config.items() if name not in IGNORED_CONFIG},
        "dtype": str(model.dtype),
        "device": model.device.type,
        "built_in": FAMILIES[model.model_type].__module__.startswith("ctsft."),
    }


def cached_fingerprint(model) -> str:
    """`model.fingerprint`, looked up instead of computed if the same files were hashed before."""
    files = model.source_files
    if files is None or model.has_fingerprint or not store.size_limit():
        return model.fingerprint
    path = store.cache_folder() / "fingerprints.json"
    key = json_hash([files, str(model.dtype), transformers.__version__, VERSION])
    known = read_fingerprints(path)
    if key in known:
        model.fingerprint = known[key]
    else:
        entries = [*known.items(), (key, model.fingerprint)][-MAX_FINGERPRINTS:]
        store.write_file(path, json.dumps(dict(entries)).encode())
    return model.fingerprint


def read_fingerprints(path: Path) -> dict[str, str]:
    """{key: fingerprint} of a file; {} when it is missing or damaged."""
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
    """16 hex digits over every weight and its name, those that accelerate offloaded included."""
    offloaded = hasattr(hf, "hf_device_map") and any(value.is_meta for value in hf.parameters())
    return tensors_hash(get_state_dict_offloaded_model(hf) if offloaded else hf.state_dict())
