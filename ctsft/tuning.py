"""Circuit-targeted supervised fine-tuning (CT-SFT, arXiv 2601.08146): tune on the target language, watch the source.

transformers' Trainer does the training; what may move is set up by `moving.moving_parts`. The loss is the cross-entropy
of the label token at the readout. Accuracy on every evaluation set is measured before the first step, at an interval
and at the end; each evaluation is one row, yielded to the caller as it happens.
"""
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from ctsft.answers import accuracy
from ctsft.circuit import Circuit
from ctsft.errors import UserError
from ctsft.loading import as_model
from ctsft.models import Linear, Model
from ctsft.moving import Part, moving_parts, norm_parameters, parts
from ctsft.tasks import Example, Task
from ctsft.trace import pad, readout_logits

MOVED = "moved.safetensors"                 # in a checkpoint folder: only what moves


class TuneConfig(BaseModel):
    """Settings of a tuning run; the defaults are the paper's."""
    model_config = ConfigDict(extra="forbid", frozen=True)
    epochs: float = Field(5, gt=0, description="passes over the training rows")
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate, falling linearly to 0")
    batch_size: int = Field(16, gt=0, description="rows a step")
    seed: int = Field(31, ge=0, description="order of the rows and dropout")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's, on what moves only")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients of what moves are clipped to this norm")
    kv: str = Field("group", pattern="^group$", description="key/value rows move by group")
    eval_every: int = Field(0, ge=0, description="steps between evaluations; 0: ten times in a run")
    checkpoint_every: int = Field(0, ge=0, description="steps between checkpoints to resume from; 0: none unless stopped")


@dataclass(frozen=True)
class Watch:
    """How a caller follows a run: `event(row)` for each evaluation, `progress(step, steps)`, `stop()` true to end after this step,
    `folder` for checkpoints; a run resumes from the newest one there when `resume`."""
    event: Callable[[dict], None] = lambda row: None
    progress: Callable[[int, int], None] = lambda step, steps: None
    stop: Callable[[], bool] = lambda: False
    folder: Path | None = None
    resume: bool = False


@dataclass
class TuneResult:
    """`history`: a row for each evaluation: {"step", "steps", "epoch", "loss", "accuracy": {set: share}, "seconds"}; loss is the mean
    since the row before, None at step 0. `trainable` of `total` numbers moved."""
    history: list[dict] = field(default_factory=list)
    trainable: int = 0
    total: int = 0
    stopped: bool = False
    model: Model | None = None


class CircuitTrainer(Trainer):
    """The Trainer with the readout's loss, and with checkpoints that hold only what moves."""

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        logits = readout_logits(model, inputs["batch"])                    # [batch, vocab]
        loss = F.cross_entropy(logits.float(), inputs["labels"])
        self.losses.append(loss.detach())
        return (loss, logits) if return_outputs else loss

    def _save(self, output_dir=None, state_dict=None):
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.detach().contiguous() for name, value in moving_parameters(self.model)}, folder / MOVED)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        saved = load_file(Path(resume_from_checkpoint) / MOVED)
        with torch.no_grad():
            for name, value in moving_parameters(model or self.model):
                value.copy_(saved[name])


def moving_parameters(hf) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, value) for name, value in hf.named_parameters() if value.requires_grad]


class Observer(TrainerCallback):
    """Evaluates, reports and stops; `history` grows by one row an evaluation."""

    def __init__(self, model: Model, task: Task, evaluate: dict[str, list[Example]], config: TuneConfig, watch: Watch):
        self.model, self.task, self.sets, self.config, self.watch = model, task, evaluate, config, watch
        self.history: list[dict] = []
        self.losses: list[torch.Tensor] = []                                # since the last evaluation
        self.stopped, self.began = False, time.monotonic()

    def evaluate(self, state):
        if self.history and self.history[-1]["step"] == state.global_step:
            return
        loss = torch.stack(self.losses).mean().item() if self.losses else None
        self.losses.clear()
        self.model.hf.eval()
        row = {"step": state.global_step, "steps": state.max_steps, "epoch": round(state.epoch or 0.0, 4), "loss": loss,
               "accuracy": {name: accuracy(self.model, self.task, rows) for name, rows in self.sets.items()},
               "seconds": round(time.monotonic() - self.began, 3)}
        self.model.hf.train()
        self.history.append(row)
        self.watch.event(row)

    def on_train_begin(self, args, state, control, **_):
        if state.global_step == 0:
            self.evaluate(state)
        self.watch.progress(state.global_step, state.max_steps)

    def on_step_end(self, args, state, control, **_):
        if self.losses and not torch.isfinite(self.losses[-1]):
            raise UserError(f"The loss is not finite at step {state.global_step} of {state.max_steps}; lower the learning rate "
                            f"(it is {self.config.learning_rate:g}) and start again.")
        every = self.config.eval_every or max(1, round(state.max_steps / 10))
        if state.global_step % every == 0 or state.global_step == state.max_steps:
            self.evaluate(state)
        self.watch.progress(state.global_step, state.max_steps)
        if state.global_step < state.max_steps and self.watch.stop():
            self.stopped = control.should_training_stop = True
            control.should_save = self.watch.folder is not None
            self.evaluate(state)
        return control


def collate(model: Model) -> Callable:
    def rows(items: list[tuple[list[int], int]]) -> dict:
        ids, tokens = zip(*items, strict=True)
        batch = pad(list(ids), model.device, reads_first=model.architecture.reads_first)
        return {"batch": batch, "labels": torch.tensor(tokens, device=model.device)}
    return rows


def arguments(config: TuneConfig, model: Model, watch: Watch) -> TrainingArguments:
    saves = {"save_strategy": "steps", "save_steps": config.checkpoint_every} if watch.folder and config.checkpoint_every else {"save_strategy": "no"}
    return TrainingArguments(
        output_dir=str(watch.folder or tempfile.gettempdir()), num_train_epochs=config.epochs, learning_rate=config.learning_rate,
        per_device_train_batch_size=config.batch_size, seed=config.seed, weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm,
        use_cpu=model.device.type == "cpu", report_to="none", disable_tqdm=True, logging_strategy="no", remove_unused_columns=False,
        dataloader_pin_memory=False, save_total_limit=2, **saves)


def finetune(model, task: Task, circuit: Circuit | str, train: list[Example], evaluate: dict[str, list[Example]],
             config: TuneConfig | None = None, watch: Watch | None = None) -> TuneResult:
    """Tune what `circuit` names (a Circuit, "norms" or "full") on `train`, and measure accuracy on the sets of `evaluate`.

    The model is changed in place: afterwards `model.hf` is the tuned one (`result.model` when a path was given).
    Raises UserError without training rows, for a circuit of another model, or when the loss stops being finite.
    """
    model, config, watch = as_model(model), config or TuneConfig(), watch or Watch()
    if isinstance(circuit, Circuit):
        circuit.check(model)
    if not train:
        raise UserError("There are no rows to train on; give at least one labelled example.")
    tokens = task.label_ids(model)
    rows = [(task.encode(model, row), tokens[row.label]) for row in train]
    observer = Observer(model, task, evaluate, config, watch)
    with moving_parts(model, circuit.heads if isinstance(circuit, Circuit) else circuit) as hf:
        trainer = CircuitTrainer(model=hf, args=arguments(config, model, watch), train_dataset=rows, data_collator=collate(model),
                                 callbacks=[observer])
        trainer.remove_callback(PrinterCallback)         # it writes to stdout, where a command's result goes
        trainer.losses = observer.losses
        count = sum(value.numel() for _, value in moving_parameters(hf))
        total = sum(value.numel() for value in hf.parameters()) - sum(value.numel() for value in hf.moving.parameters())
        trainer.train(resume_from_checkpoint=newest_checkpoint(watch.folder) if watch.resume else None)
    hf.eval()
    return TuneResult(observer.history, count, total, observer.stopped, model)


def newest_checkpoint(folder: Path | None) -> str | None:
    """The newest whole checkpoint of a run's folder; None when there is none (the run then starts anew)."""
    found = [path for path in Path(folder).glob("checkpoint-*") if (path / "trainer_state.json").is_file() and (path / MOVED).is_file()]
    return str(max(found, key=lambda path: int(path.name.split("-")[1]))) if found else None


def save_delta(model: Model, circuit: Circuit | str, path, base: str):
    """Only the numbers that moved: each tensor under its parameter's name, slices with their indices beside them.

    `base` is the fingerprint of the model before tuning; `apply_delta` refuses another one.
    """
    names = {id(parameter): name for name, parameter in model.hf.named_parameters()}
    tensors: dict[str, torch.Tensor] = {}
    if circuit == "full":
        tensors = {name: parameter.detach() for name, parameter in model.hf.named_parameters()}
    else:
        tensors = {names[id(parameter)]: parameter.detach() for parameter in norm_parameters(model)}
        for part in parts(model, circuit.heads if isinstance(circuit, Circuit) else ()):
            name = names[id(part.linear.module.weight)]
            tensors |= {f"{name}:values": part.values.detach(), f"{name}:{'columns' if part.columns else 'rows'}": part.index}
            if part.bias is not None:
                tensors[names[id(part.linear.module.bias)] + ":values"] = part.bias.detach()
    save_file({name: value.cpu().contiguous().clone() for name, value in tensors.items()}, path,
              {"delta": json.dumps({"base": base, "what": circuit if isinstance(circuit, str) else "circuit"})})


def apply_delta(model: Model, path):
    """Put the numbers of a delta file into the model it was tuned from; UserError for any other model."""
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get("delta", "{}"))
    tensors = load_file(path)
    if about.get("base") != model.fingerprint:
        raise UserError(f"The delta {path} belongs to a model with the fingerprint {about.get('base')}, and this model's is {model.fingerprint}; "
                        f"load the model it was tuned from.")
    with torch.no_grad():
        for name, parameter in model.hf.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])
        modules = {name: Linear(module) for name, module in model.hf.named_modules()}
        for key in [key for key in tensors if key.endswith((".weight:rows", ".weight:columns"))]:
            module, _, kind = key.rpartition(".weight:")
            part = Part(modules[module], tensors[key], columns=kind == "columns")
            part.write(tensors[f"{module}.weight:values"].to(model.device), tensors.get(f"{module}.bias:values"))
