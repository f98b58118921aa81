"""Settings of a tuning run, and the arguments that they give transformers' Trainer."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from ctsft.tuning.lora_settings import Lora
from ctsft.utils import distributed
from ctsft.utils.errors import UserError

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from ctsft.model.model import Model


class TuneConfig(BaseModel):
    """Settings of a tuning run; the defaults are the paper's (CT-SFT, arXiv 2601.08146)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    epochs: float = Field(5, gt=0, description="passes over the training rows")
    learning_rate: float = Field(
        5e-5, gt=0, description="peak learning rate, falling linearly to 0"
    )
    batch_size: int = Field(16, gt=0, description="rows that a process reads at once")
    accumulate: int = Field(1, gt=0, description="batches whose gradients make up one step")
    seed: int = Field(31, ge=0, description="order of the rows, dropout, first values of adapters")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW, on trained parameters only")
    max_grad_norm: float = Field(
        1.0, gt=0, description="gradients of the trained parameters are clipped to this norm"
    )
    hold: float = Field(
        0.0,
        ge=0,
        description="after each step, parameters are pulled back to the checkpoint where the source"
        " needs them: Fisher information times learning rate; 0: none, 9: usual",
    )
    replay: int = Field(
        0, ge=0, description="source rows among the target's; as many rows are read as without"
    )
    ewc: float = Field(
        0.0, ge=0, description="control of hold: the same as a term of the loss (EWC), which clips"
    )
    l2: float = Field(
        0.0, ge=0, description="control of hold: the same pull on every parameter, without Fisher"
    )
    kl: float = Field(
        0.0,
        ge=0,
        description="control of hold: weight of the divergence from the checkpoint's answers on"
        " source texts",
    )
    precision: Literal["full", "bf16"] = Field(
        "full",
        description="bf16: bfloat16 autocast in training; weights and evaluations stay as they are",
    )
    kv: Literal["group", "expand"] = Field(
        "group",
        description="key/value rows are trained by group, or each head has its own (equal model)",
    )
    norms: bool = Field(True, description="norms are trained beside the heads")
    extra: tuple[str, ...] = Field(
        (), description="patterns of parameter names that are trained too, as in *.mlp.down_proj.*"
    )
    lora_rank: int = Field(8, gt=0, description="rank of LoRA adapters")
    lora_alpha: float = Field(16.0, gt=0, description="LoRA's scale times its rank")
    lora_targets: tuple[Literal["q", "k", "v", "o", "gate", "up", "down"], ...] = Field(
        ("q", "v"), min_length=1, description="maps that LoRA adapts"
    )
    eval_every: int = Field(0, ge=0, description="steps between evaluations; 0: ten times in a run")
    checkpoint_every: int = Field(
        0, ge=0, description="steps between checkpoints to resume from; 0: at each evaluation"
    )
    report_to: Literal["none", "trackio", "wandb", "tensorboard"] = Field(
        "none", description="where curves are sent, beside the run folder"
    )

    @property
    def needs_source(self) -> bool:
        """Whether rows of the source language are read while it is tuned."""
        return self.needs_fisher or self.replay > 0 or self.kl > 0

    @property
    def needs_fisher(self) -> bool:
        """Whether the Fisher information of source rows is measured before it is tuned."""
        return self.hold > 0 or self.ewc > 0

    @property
    def lora(self) -> Lora:
        return Lora(self.lora_rank, self.lora_alpha, self.lora_targets, self.seed)


def training_arguments(
    config: TuneConfig, model: "Model", folder: Path | None
) -> "TrainingArguments":
    """The Trainer's arguments. folder: of the checkpoints; None for a run without them. UserError
    when the package that curves are sent to is not installed.
    """
    from transformers import TrainingArguments  # takes a second to import

    reports = config.report_to != "none"
    if reports and find_spec(config.report_to) is None:
        raise UserError(
            f"report_to is {config.report_to!r}, and the package {config.report_to} is not"
            f" installed; run `pip install {config.report_to}`, or choose 'none'."
        )
    if folder and config.report_to == "tensorboard":
        # outside the checkpoints, which are removed when the run has ended
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(folder).parent / "tensorboard")
    return TrainingArguments(
        output_dir=str(folder or tempfile.gettempdir()),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        per_device_train_batch_size=config.batch_size * distributed.PROCESSES,
        gradient_accumulation_steps=config.accumulate,
        seed=config.seed,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        use_cpu=model.device.type == "cpu",
        report_to=[config.report_to] if reports else "none",
        logging_strategy="steps" if reports else "no",
        logging_steps=1,
        disable_tqdm=True,
        save_strategy="no",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
