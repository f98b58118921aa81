"""The weights of a checkpoint, read so that no tensor of the model is made up.

transformers fills tensors that a file lacks with random numbers. Here they are refused by name
(tied weights are read once and count for both), and so are tensors of another shape, NaN and
infinity. What the file holds beyond the model becomes a note.
"""

import os
import re

import torch

from ctsft.model.model_files import ModelFiles
from ctsft.utils.errors import UserError, cut

NAMED_TENSORS = 3  # in a sentence
# names of the last layers that turn a body into a model that answers
HEADS = ("lm_head", "embed_out", "classifier", "pre_classifier", "score")


def read_weights(files: ModelFiles, auto_class, config, **options) -> tuple[torch.nn.Module, list]:
    """The Hugging Face model of some files, and notes on what was not used or was renamed.
    UserError for a tensor that is missing, of another shape, NaN or infinite.
    """
    options |= {
        "use_safetensors": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # refused below, by name
    }
    quantised = quantisation_method(config)
    try:
        hf, report = files.read("safetensors weights", auto_class, **options)
    except UserError as error:
        raise (quantised_model(files, quantised) if quantised else error) from error
    notes = []
    for prefix in wrapper_prefixes(report["unexpected_keys"]) if report["missing_keys"] else []:
        mapping = {f"^{re.escape(prefix)}": ""}
        renamed, new = files.read("safetensors weights", auto_class, key_mapping=mapping, **options)
        if not new["missing_keys"] and not new["mismatched_keys"]:
            hf, report = renamed, new
            notes = [
                f"Every tensor in the weight files of {files.name!r} has a name that starts with"
                f" {prefix!r} (a wrapper of training); the prefix was removed."
            ]
            break
    check_shapes(files, report["mismatched_keys"])
    check_complete(files, hf, report["missing_keys"], report["unexpected_keys"])
    check_finite(files, hf)
    notes += unused_notes(files, report["unexpected_keys"])
    if quantised:
        # scales that are not used would be needed
        if report["unexpected_keys"] or any(
            value.itemsize < 2 or not value.is_floating_point() for value in hf.parameters()
        ):
            raise quantised_model(files, quantised)
        hf = hf.to(options["dtype"])  # some were left in the format of the file
        notes.append(
            f"The quantisation settings ({quantised}) in the config.json of {files.name!r} are not"
            f" used: its weights are read as {str(hf.dtype).removeprefix('torch.')}."
        )
    return hf, notes


def wrapper_prefixes(names: set[str]) -> list[str]:
    """What all names have in common, up to each of its dots; the shortest first."""
    common = os.path.commonprefix(sorted(names)).split(".")[:-1]
    return [".".join(common[: i + 1]) + "." for i in range(len(common))]


def named(names) -> str:
    """The first names, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - NAMED_TENSORS} more" if len(names) > NAMED_TENSORS else ""
    return ", ".join(names[:NAMED_TENSORS]) + more


def check_shapes(files: ModelFiles, mismatched):
    """mismatched: (name, shape in the file, shape in the model) of each tensor."""
    for name, stored, wanted in sorted(mismatched):
        raise UserError(
            f"{len(mismatched)} tensor(s) of {files.name!r} have another shape than its config.json"
            f" says: {name} is {list(stored)} in the file, and {list(wanted)} is expected; use the"
            " config.json that was saved with these weights."
        )


def check_complete(files: ModelFiles, hf, missing: set[str], unexpected: set[str]):
    if not missing:
        return
    total = len(hf.state_dict())
    # the module that a tensor belongs to: "lm_head" of "lm_head.weight"
    heads = {name.split(".")[0] for name in missing}
    if heads <= set(HEADS):
        answers = "class" if type(hf).__name__.endswith("SequenceClassification") else "token"
        raise UserError(
            f"{files.name!r} was saved without the head that answers with a {answers}: its files"
            f" lack {named(missing)}, which would be random numbers; use a complete"
            f" {type(hf).__name__} checkpoint."
        )
    what = f"{len(missing)} of the {total} tensors of {type(hf).__name__}"
    if len(missing) >= total:
        what = f"every tensor of {type(hf).__name__}"
    other = f", and hold {named(unexpected)} instead" if unexpected else ""
    raise UserError(
        f"The weight files of {files.name!r} lack {what} ({named(missing)}){other}; missing weights"
        " would be random numbers, so use the complete checkpoint."
    )


def check_finite(files: ModelFiles, hf):
    """UserError that names the first tensors with NaN or infinity; offloaded ones are not read."""
    wrong = [
        name
        for name, value in hf.named_parameters()
        if not value.is_meta and value.is_floating_point() and value.numel() and not finite(value)
    ]
    if wrong:
        raise UserError(
            f"The weights of {files.name!r} hold NaN or infinite numbers in {named(wrong)}; the"
            " file is damaged, or the training that wrote it diverged: use another checkpoint."
        )


def finite(values: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite; needs no second tensor of that size."""
    return all(bound.isfinite().item() for bound in torch.aminmax(values))


def unused_notes(files: ModelFiles, unexpected: set[str]) -> list[str]:
    if not unexpected:
        return []
    return [
        f"{len(unexpected)} tensor(s) in the weight files of {files.name!r} have no place in this"
        f" model and are not used: {named(unexpected)}."
    ]


def quantisation_method(config) -> str | None:
    """The method that the configuration names, such as "gptq"; None without one."""
    settings = getattr(config, "quantization_config", None)
    if not settings:
        return None
    settings = settings if isinstance(settings, dict) else settings.to_dict()
    return cut(settings.get("quant_method", "unknown"))


def quantised_model(files: ModelFiles, method: str) -> UserError:
    return UserError(
        f"{files.name!r} is quantised ({method}), and heads are scored on ordinary weights; use the"
        " checkpoint that it was quantised from."
    )
