"""A delta as a LoRA adapter (Hu et al., arXiv 2106.09685) that plain peft loads.

An adapted matrix W [out, in] computes with W + B A; A [rank, in], B [out, rank]. The change of
some rows is B one-hot over the rows and A the change; the change of some columns is A one-hot and
B the change. The rank is the number of rows (columns) that changed, or the other side of the matrix
if that is less, and alpha is the rank, so that the scale is 1. The adapters of a LoRA run are its
factors. Modules with a parameter that was trained whole (norms) are stored as they are
(`modules_to_save`).

Biases of adapted modules are stored as they are (bias="lora_only"). As changes, in a bias of B
(`lora_bias`), peft could not merge them where one of the adapted modules has no bias (the output
projection of Qwen2), and it warns of damaged tensors when it reads them.

Changes are float32. One-hot matrices are bfloat16, or float8 where a fused projection is so wide
that bfloat16 would double the change; both hold 0 and 1 exactly, and peft computes with float32.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig
from peft.utils.constants import DUMMY_TARGET_MODULES
from safetensors.torch import save_file

from ctsft.model.adapter_folder import SETTINGS, WEIGHTS
from ctsft.model.model import Model
from ctsft.model.model_files import BUNDLED_MODELS
from ctsft.tuning.delta import Applied, Delta, delta_base
from ctsft.tuning.shares import Share, along
from ctsft.utils.atomic_files import atomic_path, write_text
from ctsft.utils.errors import UserError

PREFIX = "base_model.model."


@dataclass(frozen=True)
class Adapter:
    """peft's settings, and the tensors under the names that peft saves them by."""

    config: LoraConfig
    tensors: dict[str, torch.Tensor] = field(repr=False)

    def save(self, folder: Path):
        """Write both files into a folder that exists; the same adapter gives the same bytes."""
        settings = {
            key: sorted(value) if isinstance(value, set) else value
            for key, value in self.config.to_dict().items()
        }
        write_text(folder / SETTINGS, f"{json.dumps(settings, indent=2, sort_keys=True)}\n")
        tensors = {name: value.contiguous().clone() for name, value in self.tensors.items()}
        with atomic_path(folder / WEIGHTS, "the adapter") as part:
            save_file(tensors, part, {"format": "pt"})
            part.chmod(0o644)  # safetensors leaves it readable by its owner only


@dataclass(frozen=True)
class Factors:
    """A [rank, in] and B [out, rank] of one module."""

    a: torch.Tensor
    b: torch.Tensor

    @property
    def rank(self) -> int:
        return len(self.a)


def export_adapter(model: Model, path, folder, share: Share = 1.0) -> Path:
    """Write a delta file as a LoRA adapter to a new folder; returns the folder. `model`: the one
    before tuning, which stays as it is. `share`: how much of the change, as for `apply_delta`.

    `PeftModel.from_pretrained(base, folder)` is then the tuned model, with the base in float32.
    UserError for a delta of another model, for one that is no adapter (embeddings or everything
    were trained, or key/value rows were expanded), and for a folder that holds something.
    """
    folder = Path(folder)
    check_new_folder(folder)
    adapter = adapter_of(model, path, share)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder, "the adapter") as part:
        part.mkdir()
        adapter.save(part)
    return folder


def check_new_folder(folder: Path):
    """UserError for a folder that holds something, or a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{str(folder)!r} exists and is not an empty folder; name a new one with --to."
        )


def adapter_of(model: Model, path, share: Share = 1.0) -> Adapter:
    """The adapter of a delta file, or of a share of its change; errors as for `export_adapter`."""
    delta = Delta.load(path).scaled(share)
    if delta.about["kv"] == "expand" and model.n_kv_heads != model.n_heads:
        raise UserError(
            f"The delta {path} is of a model with expanded key/value rows (--kv expand), so it is"
            " no adapter of the base; export the merged model (--format model), or tune with"
            " --kv group."
        )
    delta_base(model, delta, path)  # checks that the delta belongs to this model
    embeddings = (model.hf.get_input_embeddings(), model.hf.get_output_embeddings())
    for name in delta.names:
        if model.hf.get_submodule(module_of(name)) in embeddings:
            raise UserError(
                f"The delta {path} holds embeddings ({name}), as those of full tuning do, and an"
                " adapter has none; export the merged model (--format model)."
            )
    modules: dict[str, dict[str, Applied]] = {}
    for one in delta.applied(model):
        modules.setdefault(module_of(one.name), {})[one.name.rpartition(".")[2]] = one
    adapted = {
        name: module_factors(model, delta, changes["weight"])
        for name, changes in modules.items()
        if "weight" in changes and not any(one.name in delta.tensors for one in changes.values())
    }
    saved = {name: changes for name, changes in modules.items() if name not in adapted}
    tensors = {}
    for name, factors in adapted.items():
        tensors[f"{name}.lora_A.weight"] = factors.a
        tensors[f"{name}.lora_B.weight"] = factors.b
    biases = any("bias" in modules[name] for name in adapted)
    for name in adapted if biases else ():
        if (bias := model.hf.get_submodule(name).bias) is not None:
            tensors[f"{name}.base_layer.bias"] = new_values(bias, modules[name].get("bias"))
    for name, changes in saved.items():
        for parameter, value in model.hf.get_submodule(name).named_parameters():
            tensors[f"{name}.{parameter}"] = new_values(value, changes.get(parameter))
    ranks = {name: factors.rank for name, factors in adapted.items()}
    config = LoraConfig(
        base_model_name_or_path=base_name(model),
        task_type=None if model.classes else "CAUSAL_LM",
        inference_mode=True,
        target_modules=list(ranks) or DUMMY_TARGET_MODULES,
        modules_to_save=list(saved) or None,
        fan_in_fan_out=model.blocks[0].q.transposed,
        r=max(ranks.values(), default=1),
        lora_alpha=max(ranks.values(), default=1),
        rank_pattern=ranks,
        alpha_pattern=ranks,
        bias="lora_only" if biases else "none",
    )
    return Adapter(config, {f"{PREFIX}{name}": value.cpu() for name, value in tensors.items()})


def module_of(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def base_name(model: Model) -> str | None:
    """How an adapter names its base: the absolute path of a folder, or the name on the hub; None
    for a model that was made in memory.
    """
    source = Path(BUNDLED_MODELS.get(model.name, model.name))
    return os.path.abspath(source) if model.name and source.is_dir() else model.name or None


def module_factors(model: Model, delta: Delta, weight: Applied) -> Factors:
    """The factors of a weight's change."""
    transposed = model.blocks[0].q.transposed
    if weight.dim is None:
        left, right = lora_factors(model, delta, weight)
        return Factors(left.T, right.T) if transposed else Factors(right, left)
    rows = weight.dim == int(transposed)
    change = weight.new.double() - weight.old.double()
    change = change.T if transposed else change  # [rows, in] or [out, columns]
    change = change if rows else change.T  # [features, other side]
    changed = change.any(1)
    changed[0] |= not changed.any()  # a module needs a rank
    index, change = weight.index[changed], change[changed].float()
    size = model.hf.get_parameter(weight.name).shape[weight.dim]
    if len(index) > change.shape[1]:  # the identity is the smaller matrix
        spread = torch.zeros(size, change.shape[1]).index_copy_(0, index.cpu(), change.cpu())
        one_hot = torch.eye(change.shape[1], dtype=torch.bfloat16)
        return Factors(one_hot, spread) if rows else Factors(spread.T, one_hot)
    one_hot = torch.zeros(size, len(index))
    one_hot[index.cpu(), torch.arange(len(index))] = 1
    narrow = size > 2 * change.shape[1]
    one_hot = one_hot.to(torch.float8_e4m3fn if narrow else torch.bfloat16)
    return Factors(change, one_hot) if rows else Factors(one_hot.T, change.T)


def lora_factors(model: Model, delta: Delta, weight: Applied) -> tuple[torch.Tensor, torch.Tensor]:
    """A LoRA run's factors, whose product has the shape of the weight as it is stored; the share
    that is applied is part of one of them.
    """
    left, right = (delta.tensors[f"{weight.name}:{side}"].float() for side in ("left", "right"))
    dim, factor = delta.factors(model).get(weight.name, (0, torch.ones(1)))
    if dim == 0:
        left = left * along(factor, 0, left)
    else:
        right = right * along(factor, 1, right)
    return left, right


def new_values(parameter: torch.Tensor, change: Applied | None) -> torch.Tensor:
    """A parameter after tuning; the parameter itself stays as it is."""
    value = parameter.detach().clone()
    return value if change is None else change.write(value)
