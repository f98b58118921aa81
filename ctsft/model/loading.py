"""Load a model by name or folder, and check the list of its modules by a replay.

What cannot be used is refused by a UserError of one sentence, before the weights are read where
possible.
"""

import math
import tempfile
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from ctsft.model import adapter_folder
from ctsft.model.attention import ATTENTION
from ctsft.model.batching import pad
from ctsft.model.device import choose_device, choose_dtype
from ctsft.model.families import CAUSAL_LM, CLASSIFIER, check_family
from ctsft.model.forward import record
from ctsft.model.model import Model
from ctsft.model.model_files import ModelFiles
from ctsft.model.replay import replay_error
from ctsft.model.weight_files import read_weights
from ctsft.utils.errors import UserError

# largest `replay_error` of a correct list
REPLAY_TOLERANCE = {
    torch.float64: 1e-5,
    torch.float32: 1e-3,
    torch.bfloat16: 5e-2,
    torch.float16: 5e-2,
}

# tokens of the two texts that a model is replayed on: padded, and longer than a short window
REPLAY_LENGTHS = (11, 7)


def load_model(name_or_path: str | Path, device: str = "auto", dtype: str = "auto") -> Model:
    """A causal language model, or one with a sequence-classification head, by hub name, local
    folder, or "demo" (bundled). Reads safetensors weights only, and never runs remote code.

    device: "auto" is CUDA, else MPS, else the CPU; "map" spreads the model over all devices, and
    what does not fit over memory and disk (accelerate's device_map="auto"). dtype: "auto" is
    float32, the precision the scores are defined in.

    A folder with a LoRA adapter gives its base with the adapter merged, where the base is at hand.
    `notes` of the model say what in its files was not used.

    Raises UserError for a model that is not there or cannot be read, weights that are missing, NaN
    or infinite, a family that is not supported, or a replay that differs.
    """
    files, adapter = ModelFiles.find(name_or_path), None
    if adapter_folder.is_adapter(files):
        adapter, files = files, adapter_folder.base_files(files)
    placed = {}
    if device == "map":
        offload = tempfile.mkdtemp(prefix="ctsft-offload-")
        placed = {"device_map": "auto", "offload_folder": offload}
    else:
        device = choose_device(device)
    dtype = choose_dtype(dtype)
    try:
        config = files.read("config", AutoConfig)
    except UserError as error:
        raise (adapter_folder.hub_adapter(files) or error) from error
    class_name = str((config.architectures or [CAUSAL_LM])[0])
    check_family(config.model_type, class_name, files.name)
    classifier = class_name.endswith(CLASSIFIER)
    auto_class = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    of_tokenizer = adapter if adapter and adapter.has_tokenizer else files
    tokenizer = of_tokenizer.read("tokenizer", AutoTokenizer)
    files.check_safetensors(auto_class.__name__)
    stamps = stamps_of(files, adapter)
    hf, notes = read_weights(
        files, auto_class, config, dtype=dtype, attn_implementation=ATTENTION, **placed
    )
    if adapter:
        hf = adapter_folder.merged(hf, adapter)
        notes.append(f"{adapter.name!r} is a LoRA adapter; it was merged into {files.name!r}.")
    name = (adapter or files).name
    model = wrap(hf if placed else hf.to(device), tokenizer, name)
    model.notes = notes
    if stamps and stamps == stamps_of(files, adapter):  # no file changed while they were read
        model.loaded_from = model.weights_version, stamps
    return model


def stamps_of(files: ModelFiles, adapter: ModelFiles | None) -> list | None:
    """`ModelFiles.stamps` of a model, and of the adapter that is merged into it."""
    stamps = [each.stamps() for each in (files, adapter) if each]
    if None in stamps:
        return None
    return stamps if adapter else stamps[0]


def wrap(hf, tokenizer, name: str = "") -> Model:
    """A `Model` around a Hugging Face model that is in memory; sets its attention function and
    evaluation mode. Raises UserError when the list of its family's modules does not replay it.
    """
    hf.set_attn_implementation(ATTENTION)
    hf.eval()
    model = Model(hf, tokenizer, name)
    check_replay(model)
    return model


@torch.no_grad()
def check_replay(model: Model):
    """Raise UserError when the replay of a padded batch of random tokens differs from the model."""
    hf = model.hf
    random = torch.Generator().manual_seed(0)
    texts = [
        torch.randint(hf.config.vocab_size, (length,), generator=random).tolist()
        for length in replay_lengths(model)
    ]
    batch = pad(texts, hf.device, reads_first=model.architecture.reads_first)
    error = replay_error(model, record(model, batch))
    allowed = REPLAY_TOLERANCE[hf.dtype]
    if not math.isfinite(error):
        raise UserError(
            f"{model.name or 'This model'} (type {hf.config.model_type!r}) gives logits that are"
            f" NaN or infinite in {str(hf.dtype).removeprefix('torch.')}; load it with --dtype"
            " float32, or use another checkpoint."
        )
    if error > allowed:
        raise UserError(
            f"{model.name or 'This model'} (type {hf.config.model_type!r}) does not compute what"
            f" the list of its family's modules says: replayed logits differ by {error:.2g} of"
            f" their size, allowed is {allowed:g}; use another checkpoint of the family."
        )


def replay_lengths(model: Model) -> list[int]:
    return [min(length, model.max_positions or length) for length in REPLAY_LENGTHS]


def as_model(model: Model | str | Path) -> Model:
    """A loaded model as it is, or the model that a name or path names."""
    return model if isinstance(model, Model) else load_model(model)
