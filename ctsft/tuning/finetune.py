"""Circuit-targeted supervised fine-tuning (CT-SFT, arXiv 2601.08146): tune on the target language,
watch the source.

transformers' Trainer does the training, and `masked_training` limits it to the trainable
parameters. The loss is the cross-entropy of the label token at the readout. Accuracy on every
evaluation set is measured before the first step, at an interval and at the end; each evaluation is
one row, passed to the caller as it happens.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import PrinterCallback, TrainerCallback

from ctsft.circuit.circuit import Circuit
from ctsft.data.task import Example, Task
from ctsft.model.batching import pad
from ctsft.model.evaluation import evaluate
from ctsft.model.forward import readout_logits
from ctsft.model.kv_expansion import expand
from ctsft.model.loading import as_model
from ctsft.model.model import Model
from ctsft.tuning.checkpoints import (
    Checkpointing,
    checkpoints,
    forget_after,
    newest_checkpoint,
    step_of,
    trainable_parameters,
    watched_of,
)
from ctsft.tuning.config import TuneConfig, arguments
from ctsft.tuning.delta import Delta, taken
from ctsft.tuning.lora import adapters
from ctsft.tuning.recipes import trainable_of
from ctsft.tuning.trainable import Trainable, masked_training
from ctsft.utils import distributed
from ctsft.utils.errors import UserError


@dataclass(frozen=True)
class Watch:
    """How a caller follows a run: `event(row)` for each evaluation, `progress(step, steps)`,
    `stop()` true to end after this step, `folder` for checkpoints; a run resumes from the newest
    one there when `resume`, and says where by `resumed(step, history)`.
    """

    event: Callable[[dict], None] = lambda row: None
    progress: Callable[[int, int], None] = lambda step, steps: None
    stop: Callable[[], bool] = lambda: False
    folder: Path | None = None
    resume: bool = False
    resumed: Callable[[int, list[dict]], None] = lambda step, history: None


@dataclass
class TuneResult:
    """`history`: a row for each evaluation: {"step", "steps", "epoch", "loss", "accuracy": {set:
    share}, "metrics": {set: `measures`}, "seconds"}; loss is the mean since the row before, None
    at step 0. `trainable` of `total` numbers moved (of the model given); `delta` holds them.
    """

    history: list[dict] = field(default_factory=list)
    trainable: int = 0
    total: int = 0
    stopped: bool = False
    model: Model | None = None
    delta: Delta | None = None


class NotFinite(UserError):
    """Tuning came to a loss or a gradient that is no number; `result` is what there was before."""

    result: TuneResult


IGNORED = -100  # the label of a row that counts for nothing


class Readout(torch.nn.Module):
    """A model as one call, batch -> logits at the readout: what the gradients of several processes
    are averaged around.
    """

    # the loss below is that of a whole step already
    accepts_loss_kwargs = True

    def __init__(self, hf):
        super().__init__()
        self.hf = hf
        if hasattr(hf, "hf_device_map"):
            self.hf_device_map = hf.hf_device_map

    def forward(self, batch):
        return readout_logits(self.hf, batch)  # [batch, vocab]


class CircuitTrainer(Checkpointing):
    """The Trainer with the readout's loss; its checkpoints hold what the observer has seen.

    The loss of a step is the mean over its rows, however they are split into batches and over
    processes. Every process reads the whole batch and keeps its share (`collate`), so that a last,
    smaller batch is shared like the others.
    """

    observer: "Observer"

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        with torch.autocast(
            self.observer.model.device.type,
            torch.bfloat16,
            enabled=self.observer.config.precision == "bf16",
        ):
            logits = model(inputs["batch"])
        # DDP averages
        total = (
            F.cross_entropy(logits.float(), inputs["labels"], ignore_index=IGNORED, reduction="sum")
            * distributed.PROCESSES
        )
        self.observer.losses.append(total.detach() / inputs["rows"])
        loss = total / (num_items_in_batch or inputs["rows"])
        return (loss, logits) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples, device):
        return sum(batch["rows"] for batch in batch_samples)

    def get_train_dataloader(self):
        loader = super().get_train_dataloader()
        if not distributed.is_single_process():
            # accelerate would deal whole batches out, and fill up the last ones
            (
                loader.batch_sampler.num_processes,
                loader.batch_sampler.process_index,
                loader.batch_sampler.even_batches,
            ) = (1, 0, False)
        return loader

    def watched(self):
        return self.observer.watched()


class Observer(TrainerCallback):
    """Evaluates, reports and stops; `history` grows by one row an evaluation. Holds the last good
    state: what moves, as it was when a loss was last a number (a second copy of what moves,
    while the run goes on).
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        evaluate: dict[str, list[Example]],
        config: TuneConfig,
        watch: Watch,
    ):
        self.model, self.task, self.sets, self.config, self.watch = (
            model,
            task,
            evaluate,
            config,
            watch,
        )
        self.history: list[dict] = []
        # since the last evaluation
        self.losses: list[torch.Tensor] = []
        self.stopped, self.began = False, time.monotonic()
        self.good_step, self.good = 0, {}

    def watched(self) -> dict:
        return {
            "history": self.history,
            "losses": [loss.item() for loss in self.losses],
            "seconds": time.monotonic() - self.began,
        }

    def restore(self, watched: dict):
        """Go on from what `watched` told: a float32 loss survives JSON to the bit."""
        self.history = list(watched.get("history", []))
        self.losses[:] = [
            torch.tensor(loss, device=self.model.device) for loss in watched.get("losses", [])
        ]
        self.began -= watched.get("seconds", 0)

    def good_now(self, step: int):
        self.good_step = step
        for name, value in trainable_parameters(self.model.hf):
            self.good.setdefault(name, torch.empty_like(value)).copy_(value.detach())

    def evaluate(self, state):
        if self.history and self.history[-1]["step"] == state.global_step:
            return
        loss = (
            (
                distributed.sum_over_processes(torch.stack(self.losses), self.model.device)
                / distributed.PROCESSES
            )
            .mean()
            .item()
            if self.losses
            else None
        )
        self.losses.clear()
        self.model.hf.eval()
        measured = (
            {name: evaluate(self.model, self.task, rows) for name, rows in self.sets.items()}
            if distributed.RANK == 0
            else {}
        )
        row = {
            "step": state.global_step,
            "steps": state.max_steps,
            "epoch": round(state.epoch or 0.0, 4),
            "loss": loss,
            "accuracy": {name: found["accuracy"] for name, found in measured.items()},
            "metrics": measured,
            "seconds": round(time.monotonic() - self.began, 3),
        }
        self.model.hf.train()
        self.history.append(row)
        self.watch.event(row)
        if self.config.report_to != "none":
            # of this step's loss; any logging resets it
            due = self.trainer.control.should_log
            self.trainer.log({f"accuracy/{name}": share for name, share in row["accuracy"].items()})
            self.trainer.control.should_log = due

    def on_train_begin(self, args, state, control, **_):
        if state.global_step == 0:
            self.evaluate(state)
        self.watch.progress(state.global_step, state.max_steps)

    def on_pre_optimizer_step(self, args, state, control, **_):
        """Before a step is taken: its loss and gradient are numbers, or the run goes back to where
        they were, and ends.
        """
        finite = distributed.all_agree(math.isfinite(self.losses[-1].item()), self.model.device)
        if finite and (self.scaled or finite_gradients(self.model.hf)):
            self.good_now(state.global_step)
            return
        what = "gradient" if finite else "loss"
        if finite:
            self.good_now(state.global_step)
        else:
            self.go_back(state.global_step)
        raise NotFinite(
            f"The {what} is not finite at step {state.global_step + 1} of {state.max_steps}, and"
            f" the state after step {self.good_step} is kept; lower the learning rate (it is"
            f" {self.config.learning_rate:g}) and start again."
        )

    @torch.no_grad()
    def go_back(self, step: int):
        """To the last good state; right after a resume, which knows of none, to the checkpoint
        before.
        """
        earlier = [
            path for path in checkpoints(self.watch.folder) if self.good_step < step_of(path) < step
        ]
        if earlier:
            self.good_step = step_of(earlier[-1])
            self.trainer._load_from_checkpoint(earlier[-1])
        else:
            for name, value in trainable_parameters(self.model.hf):
                value.copy_(self.good[name])
        forget_after(self.watch.folder, self.good_step)

    def on_step_end(self, args, state, control, **_):
        every = self.config.eval_every or max(1, round(state.max_steps / 10))
        due = state.global_step % every == 0 or state.global_step == state.max_steps
        if due:
            self.evaluate(state)
        saves = (
            state.global_step % self.config.checkpoint_every == 0
            if self.config.checkpoint_every
            else due
        )
        self.watch.progress(state.global_step, state.max_steps)
        # asked for in one process
        stop = not distributed.all_agree(not self.watch.stop(), self.model.device)
        if state.global_step < state.max_steps and stop:
            self.stopped = control.should_training_stop = True
        control.should_save = self.watch.folder is not None and (saves or self.stopped)
        return control

    def on_train_end(self, args, state, control, **_):
        # where it was stopped; no part of the checkpoint, since the run may go on
        self.evaluate(state)


def finite_gradients(hf) -> bool:
    norms = torch._foreach_norm(
        [value.grad for _, value in trainable_parameters(hf) if value.grad is not None]
    )
    return bool(torch.stack([norm.float() for norm in norms]).isfinite().all())


def collate(model: Model) -> Callable:
    """Token ids and labels to a batch: this process's share of the rows, or one that counts for
    nothing where it has none.
    """

    def rows(items: list[tuple[list[int], int]]) -> dict:
        mine = distributed.local_share(items) or [(items[0][0], IGNORED)]
        ids, tokens = zip(*mine, strict=True)
        batch = pad(list(ids), model.device, reads_first=model.architecture.reads_first)
        return {
            "batch": batch,
            "labels": torch.tensor(tokens, device=model.device),
            "rows": len(items),
        }

    return rows


def finetune(
    model,
    task: Task,
    circuit: Circuit | Trainable | str,
    train: list[Example],
    evaluate: dict[str, list[Example]],
    config: TuneConfig | None = None,
    watch: Watch | None = None,
) -> TuneResult:
    """Tune what `circuit` names on `train`, and measure accuracy on the sets of `evaluate`.

    circuit: a Circuit, a recipe that needs no heads ("norms", "full", "direct", "lora"), or what
    `trainable_of` gives for the others. The model is changed in place: afterwards `model.hf` is the
    tuned one (`result.model` when a path was given). With kv="expand" `result.model` is another,
    equal one in which each head owns its key/value rows, and the one given stays as it was. Raises
    UserError without training rows, for a circuit of another model, or when the loss stops being
    finite.
    """
    given, config, watch = as_model(model), config or TuneConfig(), watch or Watch()
    moves = circuit
    if not isinstance(circuit, Trainable):
        recipe, found = ("circuit", circuit) if isinstance(circuit, Circuit) else (circuit, None)
        moves = trainable_of(given, recipe, found, config.norms, config.extra)
    if not train:
        raise UserError("There are no rows to train on; give at least one labelled example.")
    tokens, about = (
        task.label_ids(given),
        {
            "base": given.fingerprint,
            "what": moves.name,
            "kv": config.kv,
        },
    )
    rows = [(task.encode(given, row), tokens[row.label]) for row in train]
    model = expand(given) if config.kv == "expand" else given
    observer, result, failure, adapted = (
        Observer(model, task, evaluate, config, watch),
        TuneResult(total=given.n_params, model=model),
        None,
        {},
    )
    with (
        adapters(model, moves, config.lora, adapted)
        if moves.adapted
        else masked_training(model, moves)
    ) as hf:
        trainer = CircuitTrainer(
            model=Readout(hf),
            args=arguments(config, model, watch.folder),
            train_dataset=rows,
            data_collator=collate(model),
            callbacks=[observer],
        )
        # it writes to stdout, where a command's result goes
        trainer.remove_callback(PrinterCallback)
        trainer.observer, observer.trainer, observer.scaled = (
            observer,
            trainer,
            trainer.accelerator.scaler is not None,
        )
        result.trainable = sum(value.numel() for _, value in trainable_parameters(hf))
        observer.good_now(0)
        checkpoint = newest_checkpoint(watch.folder) if watch.resume else None
        observer.restore(watched_of(checkpoint))
        if watch.resume:
            watch.resumed(step_of(checkpoint) if checkpoint else 0, observer.history)
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except NotFinite as error:
            failure = error
        finally:
            hf.eval()
    Delta(about, adapted).write(model)
    result.history, result.stopped, result.delta = (
        observer.history,
        observer.stopped or failure is not None,
        taken(model, moves, adapted, about),
    )
    if failure:
        failure.result = result
        raise failure
    return result
