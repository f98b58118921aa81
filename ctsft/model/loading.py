"""Load a model by name or folder, refuse what cannot be used in one sentence, and prove the
family's list by a replay.
"""

import os
import re
import shlex
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import requests
import torch
from huggingface_hub import constants, list_repo_files, try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from ctsft.data.registry import ASSETS
from ctsft.model.attention import ATTENTION
from ctsft.model.batching import pad
from ctsft.model.families import CAUSAL_LM, CLASSIFIER, check_family
from ctsft.model.forward import record
from ctsft.model.model import Model
from ctsft.model.replay import replay_error
from ctsft.utils.errors import UserError

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    # float32 whose matrix products a GPU rounds to TF32
    "tf32": torch.float32,
}

# relative
REPLAY_TOLERANCE = {
    torch.float64: 1e-5,
    torch.float32: 1e-3,
    torch.bfloat16: 5e-2,
    torch.float16: 5e-2,
}

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")

# weights in other formats than safetensors
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")

# transformers would ask a service to convert such a checkpoint
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "true")

# seconds, above any file system's resolution of times
SETTLED = 2.0
BUNDLED_MODELS = {"demo": ASSETS / "demo" / "model", "demo-base": ASSETS / "demo" / "base"}


def load_model(name_or_path: str | Path, device: str = "auto", dtype: str = "auto") -> Model:
    """A model by hub name, local folder, or "demo" (bundled): a causal language model, or one with
    a sequence-classification head. Safetensors weights only, never remote code.

    device: "auto" takes CUDA, else MPS, else the CPU; "map" spreads a model over all devices, and
    what does not fit over memory and disk (accelerate's device_map="auto"). dtype: "auto" is
    float32, the precision the scores are defined in. Raises UserError for a name that is not there,
    a family that is not supported, or a replay that differs.
    """
    name = str(name_or_path)
    where = str(BUNDLED_MODELS.get(name, name))
    local = bool(where) and Path(where).is_dir()
    if not local:
        check_hub(name)
    spread = (
        {"device_map": "auto", "offload_folder": tempfile.mkdtemp(prefix="ctsft-offload-")}
        if device == "map"
        else {}
    )
    device, dtype = None if spread else choose_device(device), choose_dtype(dtype)
    config = read(
        lambda: AutoConfig.from_pretrained(where, trust_remote_code=False), name, "config"
    )
    kind = (config.architectures or [CAUSAL_LM])[0]
    check_family(config.model_type, kind, name)
    auto = AutoModelForSequenceClassification if kind.endswith(CLASSIFIER) else AutoModelForCausalLM
    tokenizer = read(
        lambda: AutoTokenizer.from_pretrained(where, trust_remote_code=False), name, "tokenizer"
    )
    check_weights(where, local, name, auto.__name__)
    files = stamped(where, local)
    hf = read(
        lambda: auto.from_pretrained(
            where,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=ATTENTION,
            **spread,
        ),
        name,
        "safetensors weights",
    )
    model = wrap(hf if spread else hf.to(device), tokenizer, name)
    if files and files == stamped(where, local):  # nothing changed while they were read
        model.loaded_from = model.weights_version, files
    return model


def stamped(where: str, local: bool) -> list | None:
    """What tells a model's files apart: names, sizes and times, or the hub's commit. None where
    that is not known.

    Files that are so new that a further change might not show in their times are not known either.
    """
    if not local:
        copy = try_to_load_from_cache(where, constants.CONFIG_NAME)
        return ["hub", where, Path(copy).parent.name] if isinstance(copy, str) else None
    folder = Path(where)
    found = [
        (path.name, path.stat())
        for path in sorted(folder.iterdir())
        if path.suffix in (".json", ".safetensors")
    ]
    if any(max(stat.st_mtime, stat.st_ctime) > time.time() - SETTLED for _, stat in found):
        return None
    return [
        str(folder.resolve()),
        *(
            [name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            for name, stat in found
        ),
    ]


def wrap(hf, tokenizer, name: str = "") -> Model:
    """A `Model` around a Hugging Face model already in memory, replayed like one that was
    loaded.
    """
    hf.set_attn_implementation(ATTENTION)
    hf.eval()
    model = Model(hf, tokenizer, name)
    draw = torch.Generator().manual_seed(0)
    rows = [
        torch.randint(hf.config.vocab_size, (length,), generator=draw).tolist()
        for length in (11, 7)
    ]
    with torch.no_grad():
        error = replay_error(
            model, record(model, pad(rows, hf.device, reads_first=model.architecture.reads_first))
        )
    allowed = REPLAY_TOLERANCE[hf.dtype]
    if not error <= allowed:  # a NaN is refused too
        raise UserError(
            f"{name or 'This model'} (type {hf.config.model_type!r}) does not compute what the list"
            f" of its family's modules says: replayed logits differ by {error:.2g} of their size,"
            f" allowed is {allowed:g}; use another checkpoint of the family."
        )
    return model


def as_model(model: Model | str | Path) -> Model:
    """Public functions take a loaded model or the path of one."""
    return model if isinstance(model, Model) else load_model(model)


def check_hub(name: str):
    """Refuse at once what is neither a folder nor a hub name, and a hub name while the hub cannot
    be reached.
    """
    if not HUB_NAME.fullmatch(name) or name.startswith((".", "/")):
        raise UserError(
            f"There is no model folder {name!r}; give a folder with config.json and safetensors"
            " weights, or a hub name such as Qwen/Qwen2.5-0.5B."
        )
    if isinstance(try_to_load_from_cache(name, constants.CONFIG_NAME), str):
        return
    try:
        answer = requests.head(
            f"{constants.ENDPOINT}/api/models/{name}", timeout=5, allow_redirects=True
        )
    except requests.RequestException as error:
        raise UserError(
            f"{name!r} is not a folder here, and the hub at {constants.ENDPOINT} cannot be reached"
            f" ({type(error).__name__}); check the name or the network, or give a local folder."
        ) from None
    if answer.status_code in (401, 403, 404):
        raise UserError(
            f"The hub at {constants.ENDPOINT} has no public model {name!r} (answer"
            f" {answer.status_code}); check the spelling, or log in with `hf auth login` if it is"
            " gated."
        )


def check_weights(where: str, local: bool, name: str, auto: str):
    """Refuse a checkpoint whose weights are there as pickle only, with the command that converts
    it: a pickle can run code when it is read.
    """
    if local:
        found = [path.name for path in Path(where).iterdir()]
    else:
        found = []
        with suppress(Exception):
            # offline, with a copy in the cache: what is missing shows when it is read
            found = list_repo_files(where)
    pickled = sorted(file for file in found if file.endswith(PICKLES))
    if pickled and not any(file.endswith(".safetensors") for file in found):
        new = f"{Path(where).name}-safetensors"
        code = (
            f"from transformers import {auto} as M, AutoTokenizer as T;"
            f" M.from_pretrained({where!r}, use_safetensors=False).save_pretrained({new!r});"
            f" T.from_pretrained({where!r}).save_pretrained({new!r})"
        )
        raise UserError(
            f"The weights of {name!r} are there as pickle only ({pickled[0]}), which can run code"
            " when it is read; if you trust who made it, convert it with"
            f" `{shlex.join(['python', '-c', code])}` and load the folder {new!r}."
        )


def read(load, name: str, what: str):
    """Run a from_pretrained call; whatever it raises becomes one sentence."""
    try:
        return load()
    except UserError:
        raise
    except Exception as error:
        # transformers raises OSError, ValueError, KeyError, SafetensorError ... for files that do
        # not fit
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The {what} of {name!r} could not be loaded ({type(error).__name__}: {reason}); "
            "give a Hugging Face folder with config.json, tokenizer files and *.safetensors."
        ) from error


def choose_device(device: str) -> torch.device:
    """auto: CUDA if there is one, else MPS, else the CPU."""
    if device == "auto":
        device = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        # one of several processes on a machine
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):
        raise UserError(
            f"The device {device!r} is not available here; choose auto, cpu, cuda, mps or map."
        ) from None


def choose_dtype(dtype: str) -> torch.dtype:
    if dtype == "auto":
        return torch.float32
    if dtype not in DTYPES:
        raise UserError(f"{dtype!r} is not a dtype; choose from auto, {', '.join(DTYPES)}.")
    if dtype == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = True
    return DTYPES[dtype]
