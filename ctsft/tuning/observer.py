"""Following a tuning run: its evaluations, its last good state, and when it stops."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import TrainerCallback

from ctsft.data.task import Task
from ctsft.model.evaluation import NotFiniteLogits
from ctsft.model.forward import readout_logits
from ctsft.model.model import Model
from ctsft.tuning.checkpoints import checkpoints, remove_after, step_of, trainable_parameters
from ctsft.tuning.config import TuneConfig
from ctsft.tuning.evaluation_sets import EvaluationSet, evaluation_row, measure_set
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

EVALUATIONS = 10  # of a run whose settings do not say how many


@dataclass(frozen=True)
class Watch:
    """How a caller follows a run: functions that the run calls, and its checkpoints.

    event(row): after each evaluation. progress(step, steps): after each step. preparing(done,
    rows): before the first step, while source rows are read, where the settings need them. stop():
    true to end after this step. folder: of the checkpoints; None for none. resume: go on from the
    newest checkpoint in `folder`; resumed(step, history) is then called with where the run goes on
    from. restored(step, history): after going back to the last good state, that of `step`.
    """

    event: Callable[[dict], None] = lambda row: None
    progress: Callable[[int, int], None] = lambda step, steps: None
    preparing: Callable[[float, float], None] = lambda done, rows: None
    stop: Callable[[], bool] = lambda: False
    folder: Path | None = None
    resume: bool = False
    resumed: Callable[[int, list[dict]], None] = lambda step, history: None
    restored: Callable[[int, list[dict]], None] = lambda step, history: None


class NotFinite(UserError):
    """Tuning came to a loss, gradient or logit that is NaN or infinite. `result`: the `TuneResult`
    of the last good state.
    """

    result = None


class Observer(TrainerCallback):
    """Evaluates, reports and stops a run; `history` grows by one row with each evaluation.

    Holds the last good state: a second copy of the trained parameters, as they were when the loss
    was last finite. `trainer` and `scales_gradients` are set by `CircuitTrainer.follow`.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        evaluation_sets: dict[str, EvaluationSet],
        config: TuneConfig,
        watch: Watch,
    ):
        self.model = model
        self.task = task
        self.evaluation_sets = evaluation_sets
        self.config = config
        self.watch = watch
        self.history: list[dict] = []
        self.losses: list[torch.Tensor] = []  # since the last evaluation
        self.inputs: dict = {}  # the batch and labels that were trained on last
        self.stopped = False
        self.began = time.monotonic()
        self.good_step = 0
        self.good_values: dict[str, torch.Tensor] = {}
        self.trainer = None
        self.scales_gradients = False

    def observed(self) -> dict:
        """What a checkpoint stores of the run so far, as JSON."""
        return {
            "history": self.history,
            "losses": [loss.item() for loss in self.losses],
            "seconds": time.monotonic() - self.began,
        }

    def restore(self, observed: dict):
        """Go on from what `observed` returned; a float32 loss survives JSON to the bit."""
        self.history = list(observed.get("history", []))
        self.losses[:] = [
            torch.tensor(loss, device=self.model.device) for loss in observed.get("losses", [])
        ]
        self.began -= observed.get("seconds", 0)

    def remember_state(self, step: int):
        """Copy the trained parameters: they are the last good state."""
        self.good_step = step
        for name, value in trainable_parameters(self.model.hf):
            self.good_values.setdefault(name, torch.empty_like(value)).copy_(value.detach())

    @torch.no_grad()
    def restore_state(self, step: int):
        """Go back to the last good state before `step`: the copy, or right after a resume, which
        made no copy yet, the checkpoint before.
        """
        earlier = [
            path for path in checkpoints(self.watch.folder) if self.good_step < step_of(path) < step
        ]
        if earlier:
            self.good_step = step_of(earlier[-1])
            self.trainer._load_from_checkpoint(earlier[-1])
        else:
            for name, value in trainable_parameters(self.model.hf):
                value.copy_(self.good_values[name])
        remove_after(self.watch.folder, self.good_step)

    def mean_loss(self) -> float | None:
        """The mean loss of the steps since the last evaluation, over all processes; None without a
        step.
        """
        if not self.losses:
            return None
        total = distributed.sum_over_processes(torch.stack(self.losses), self.model.device)
        return (total / distributed.PROCESSES).mean().item()

    def evaluate(self, state):
        """Measure every evaluation set and report the row, at most once for each step. NotFinite,
        in the last good state, when an answer is NaN or infinite.
        """
        if self.history and self.history[-1]["step"] == state.global_step:
            return
        loss = self.mean_loss()
        metrics = self.measure()
        if metrics is None and not state.global_step:
            raise UserError(
                "An answer of the model is NaN or infinite before the first step; load it with"
                " --dtype float32, or use another checkpoint."
            )
        if metrics is None:
            raise self.go_back(state, f"An answer after step {state.global_step}")
        self.losses.clear()
        self.report(state.global_step, state, loss, metrics)

    def measure(self) -> dict[str, dict] | None:
        """{evaluation set: metrics}, {} in all processes but the first; None when an answer is NaN
        or infinite.
        """
        self.model.hf.eval()
        metrics, finite = {}, True
        if distributed.RANK == 0:
            try:
                metrics = {
                    name: measure_set(self.model, self.task, one)
                    for name, one in self.evaluation_sets.items()
                }
            except NotFiniteLogits:
                finite = False
        self.model.hf.train()
        return metrics if distributed.all_agree(finite, self.model.device) else None

    def report(self, step: int, state, loss: float | None, metrics: dict[str, dict]):
        """Append the row of an evaluation after `step` steps, and tell the watcher."""
        row = {
            "step": step,
            "steps": state.max_steps,
            "epoch": round((state.epoch or 0.0) * step / max(state.global_step, 1), 4),
            "loss": loss,
            **evaluation_row(metrics),
            "seconds": round(time.monotonic() - self.began, 3),
        }
        self.history.append(row)
        self.watch.event(row)
        if self.config.report_to != "none":
            # logging the accuracies resets the flag that this step's loss is logged by
            should_log = self.trainer.control.should_log
            sent = {f"accuracy/{name}": share for name, share in row["accuracy"].items()}
            for name, of in row.get("perplexity", {}).items():
                sent[f"perplexity/{name}"] = of["perplexity"]
            self.trainer.log(sent)
            self.trainer.control.should_log = should_log

    def on_train_begin(self, args, state, control, **_):
        if state.global_step == 0:
            self.evaluate(state)
        self.watch.progress(state.global_step, state.max_steps)

    def on_pre_optimizer_step(self, args, state, control, **_):
        """Before a step: if its loss or gradient is NaN or infinite, restore the last good state
        and end the run with `NotFinite`.
        """
        finite_loss = distributed.all_agree(
            math.isfinite(self.losses[-1].item()), self.model.device
        )
        if finite_loss:
            self.remember_state(state.global_step)
            # a gradient scaler skips steps with an infinite gradient itself
            if self.scales_gradients or has_finite_gradients(self.model.hf):
                return
        what = "gradient" if finite_loss else "loss"
        raise self.go_back(state, f"The {what} of step {state.global_step + 1}")

    def go_back(self, state, what: str) -> NotFinite:
        """Restore the last good state, with a history that ends there, and return the error that
        says so. what: the quantity that is NaN or infinite.
        """
        lost = state.global_step
        if self.good_step < lost:
            self.restore_state(lost)
        history = [row for row in self.history if row["step"] <= self.good_step]
        # losses of the steps since the last row, without those of lost steps
        steps = self.good_step - history[-1]["step"] if history and history == self.history else 0
        self.losses[:] = self.losses[: steps * self.config.accumulate]
        self.history[:] = history
        if not history or history[-1]["step"] < self.good_step:
            metrics = self.measure()
            if metrics is not None:
                self.report(self.good_step, state, self.mean_loss(), metrics)
        self.watch.restored(self.good_step, self.history)
        remaining = f"the state after step {self.good_step} remains"
        if not self.good_step:
            remaining = "the model is as it was before the first step"
        return NotFinite(
            f"{what} (of {state.max_steps}) is NaN or infinite, and {remaining}; lower the learning"
            f" rate (it is {self.config.learning_rate:g}) and start again."
        )

    @torch.no_grad()
    def check_last_state(self, state):
        """NotFinite, in the last good state, when the loss of the rows trained on last is NaN or
        infinite after the last step: no later step would show it.
        """
        self.model.hf.eval()
        logits = readout_logits(self.model.hf, self.inputs["batch"]).float()
        loss = F.cross_entropy(logits, self.inputs["labels"], reduction="sum")
        self.model.hf.train()
        if not distributed.all_agree(math.isfinite(loss.item()), self.model.device):
            raise self.go_back(state, f"The loss after step {state.global_step}")

    def on_step_end(self, args, state, control, **_):
        # a stop that only one process noticed holds for all
        stop = not distributed.all_agree(not self.watch.stop(), self.model.device)
        self.stopped = stop and state.global_step < state.max_steps
        if self.stopped or state.global_step == state.max_steps:
            self.check_last_state(state)
        interval = self.config.eval_every or max(1, round(state.max_steps / EVALUATIONS))
        due = state.global_step % interval == 0 or state.global_step == state.max_steps
        if due:
            self.evaluate(state)
        saves = due
        if self.config.checkpoint_every:
            saves = state.global_step % self.config.checkpoint_every == 0
        self.watch.progress(state.global_step, state.max_steps)
        if self.stopped:
            control.should_training_stop = True
        control.should_save = self.watch.folder is not None and (saves or self.stopped)
        return control

    def on_train_end(self, args, state, control, **_):
        # of a stopped run too; not part of its checkpoint, because the run may go on
        self.evaluate(state)


def has_finite_gradients(hf) -> bool:
    """Whether no gradient of a trainable parameter is NaN or infinite."""
    gradients = [value.grad for _, value in trainable_parameters(hf) if value.grad is not None]
    norms = torch._foreach_norm(gradients)
    return bool(torch.stack([norm.float() for norm in norms]).isfinite().all())
