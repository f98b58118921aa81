"""A folder that holds a LoRA adapter (peft) instead of a model: it is merged into its base."""

import json
from pathlib import Path

from safetensors.torch import load_file

from ctsft.model.model_files import ModelFiles, quiet
from ctsft.model.weight_files import check_finite
from ctsft.utils.errors import UserError, quoted

SETTINGS = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def is_adapter(files: ModelFiles) -> bool:
    """Whether the files are a local adapter, and not a whole model. UserError for a folder with
    both, of which transformers would read the adapter's base.
    """
    names = files.file_names() if files.local else []
    if SETTINGS not in names:
        return False
    models = [name for name in names if name.endswith(".safetensors") and name != WEIGHTS]
    if models:
        raise UserError(
            f"{files.name!r} holds a model ({sorted(models)[0]}) and an adapter ({SETTINGS}); move"
            " one of them to a folder of its own."
        )
    return True


def hub_adapter(files: ModelFiles) -> UserError | None:
    """The error for the name of an adapter on the hub; None for anything else."""
    if files.local or SETTINGS not in files.file_names():
        return None
    return UserError(
        f"{files.name!r} is an adapter on the hub; download it with `hf download {files.name}"
        " --local-dir FOLDER`, and give that folder: it is merged into its base."
    )


def base_files(files: ModelFiles) -> ModelFiles:
    """The files of the adapter's base. UserError when the adapter is none that can be merged, or
    its base is not at hand.
    """
    settings = read_settings(files)
    kind, base = settings.get("peft_type"), settings.get("base_model_name_or_path")
    if kind != "LORA":
        raise UserError(
            f"{files.name!r} is an adapter of type {quoted(kind)}, and only LORA adapters can"
            " be merged into their base; merge it yourself and save the whole model."
        )
    if not isinstance(base, str) or not base:
        raise UserError(
            f"{files.name!r} is a LoRA adapter whose {SETTINGS} does not name its base; write the"
            " base's folder or hub name there as base_model_name_or_path."
        )
    if WEIGHTS not in files.file_names():
        raise UserError(
            f"{files.name!r} is a LoRA adapter without {WEIGHTS}; save it as safetensors"
            " (save_pretrained does)."
        )
    # a folder beside the adapter, if the name is relative
    beside = Path(files.source).parent / base
    try:
        base_files = ModelFiles.find(beside if beside.is_dir() else base)
    except UserError as error:
        raise UserError(
            f"{files.name!r} is a LoRA adapter, and its base is not at hand: {error}"
        ) from None
    if is_adapter(base_files):
        raise UserError(
            f"{files.name!r} is a LoRA adapter of {quoted(base)}, which is an adapter too; merge"
            " that one first."
        )
    return base_files


def read_settings(files: ModelFiles) -> dict:
    path = Path(files.source) / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{str(path)!r} cannot be read ({type(error).__name__}).") from None
    if not isinstance(settings, dict):
        raise UserError(f"{str(path)!r} holds no JSON object; save the adapter again with peft.")
    return settings


def merged(hf, files: ModelFiles):
    """The base model with the adapter added to its weights. Only JSON and safetensors are read.
    UserError for an adapter that does not fit, or lacks tensors.
    """
    from peft import (  # here: takes a moment to import
        PeftConfig,
        get_peft_model,
        get_peft_model_state_dict,
        set_peft_model_state_dict,
    )

    try:
        stored = load_file(Path(files.source) / WEIGHTS)
        with quiet():
            settings = read_settings(files) | {"base_model_name_or_path": hf.name_or_path}
            adapted = get_peft_model(hf, PeftConfig.from_peft_type(**settings))
        wanted = get_peft_model_state_dict(adapted).keys()
        if wanted == stored.keys():
            set_peft_model_state_dict(adapted, stored)
    except Exception as error:  # peft raises ValueError, RuntimeError, TypeError and others
        raise files.unreadable("adapter", error) from error
    if wanted != stored.keys():
        odd = sorted(wanted ^ stored.keys())
        raise UserError(
            f"The adapter {files.name!r} does not fit its base: {len(wanted - stored.keys())} of"
            f" its {len(wanted)} tensors are missing and {len(stored.keys() - wanted)} have no"
            f" place ({odd[0]}); use the base that it was trained on."
        )
    hf = adapted.merge_and_unload()
    check_finite(files, hf)
    return hf
