"""Checkpoints of a tuning run: the trained parameters, and everything the rest of the run needs.

    checkpoint-N/
        trained.safetensors                      the trained parameters after N steps
        optimizer.pt, scheduler.pt, scaler.pt    their states
        rng_state.pth                            random generators of Python, NumPy and torch
        trainer_state.json                       steps and epochs done; with the seed they give
                                                 the order of the remaining rows
        history.json                             the evaluations so far, and the losses since the
                                                 last one

A checkpoint appears whole or not at all (`atomic_path`), so a run that is killed at any moment
resumes from the newest one and comes to the same bits. The two newest are stored.
"""

import json
from pathlib import Path
from typing import Annotated
from zipfile import is_zipfile

import torch
from pydantic import BaseModel, Field
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import Trainer

from ctsft.utils import atomic_files
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.json_files import parse_json, read_regular

TRAINED = "trained.safetensors"
HISTORY = "history.json"
STATE = "trainer_state.json"

MAX_CHECKPOINTS = 2
COPIES = 3  # of each trained parameter: its value, and Adam's two moments
OVERHEAD = 200_000  # bytes beside the tensors: generators, the optimiser's settings, the state


class StateFile(BaseModel):
    """What is read of a trainer's state."""

    global_step: Annotated[int, Field(ge=0)]


class HistoryFile(BaseModel):
    """What `Checkpointing.observed` returned."""

    history: list[dict] = []
    losses: list[float] = []
    seconds: float = 0.0


class Checkpointing(Trainer):
    """A Trainer whose checkpoints hold only the trained parameters, and the `observed()` history of
    evaluations and losses.
    """

    def observed(self) -> dict:
        return {}

    def _save_checkpoint(self, model, trial=None):
        step, folder = self.state.global_step, Path(self.args.output_dir)
        if not self.args.should_save:
            # one of several processes: its own generators, beside the first one's files
            self.accelerator.wait_for_everyone()
            self._save_rng_state(str(folder / f".checkpoint-{step}.part"))
            self.accelerator.wait_for_everyone()
            return
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(value.nbytes for _, value in trainable_parameters(self.model))
        with atomic_files.atomic_path(
            folder / f"checkpoint-{step}",
            f"the checkpoint of step {step}",
            COPIES * size + OVERHEAD,
            folder / f".checkpoint-{step}.part",  # known to the other processes
        ) as part:
            part.mkdir()
            self._save(part)
            self._save_optimizer_and_scheduler(str(part))
            self._save_scaler(str(part))
            (part / HISTORY).write_text(json.dumps(self.observed()), encoding="utf-8")
            self.accelerator.wait_for_everyone()
            self._save_rng_state(str(part))
            self.accelerator.wait_for_everyone()
            self.state.save_to_json(str(part / STATE))
        for old in checkpoints(folder)[:-MAX_CHECKPOINTS]:
            atomic_files.remove(old)

    def _save(self, output_dir=None, state_dict=None):
        tensors = {
            name: value.detach().contiguous() for name, value in trainable_parameters(self.model)
        }
        save_file(tensors, Path(output_dir) / TRAINED)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        tensors = load_file(Path(resume_from_checkpoint) / TRAINED)
        with torch.no_grad():
            for name, value in trainable_parameters(model or self.model):
                if name not in tensors or tensors[name].shape != value.shape:
                    raise UserError(
                        f"The checkpoint {resume_from_checkpoint} is of other trained parameters:"
                        f" {quoted(name)} does not fit; remove it and resume the run."
                    )
                value.copy_(tensors[name])


def trainable_parameters(hf) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and parameters of a Hugging Face model that require gradients."""
    return [(name, value) for name, value in hf.named_parameters() if value.requires_grad]


def checkpoints(folder: Path | None) -> list[Path]:
    """The complete checkpoints of a folder, newest last; [] without a folder."""
    if not folder:
        return []
    paths = [
        path
        for path in Path(folder).glob("checkpoint-*")
        if path.name[11:].isdecimal() and is_complete(path)
    ]
    return sorted(paths, key=step_of)


def newest_checkpoint(folder: Path | None) -> str | None:
    """The newest complete checkpoint of a folder whose states can be loaded; None where there is
    none.
    """
    return next((str(path) for path in reversed(checkpoints(folder)) if opens(path)), None)


def opens(checkpoint: Path) -> bool:
    """Whether the states of the optimiser and the schedule are what torch wrote."""
    try:
        for name in ("optimizer.pt", "scheduler.pt"):
            state = torch.load(checkpoint / name, "cpu", weights_only=True, mmap=True)
            if not isinstance(state, dict):
                return False
    except Exception:  # a damaged file makes its reader raise almost anything
        return False
    return True


def step_of(checkpoint: Path) -> int:
    return int(Path(checkpoint).name.split("-")[1])


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there and can be opened."""
    try:
        with safe_open(checkpoint / TRAINED, "pt") as file:
            file.keys()  # refuses a file shorter than its header says
        state = StateFile.model_validate(parse_json(read_regular(checkpoint / STATE)))
        HistoryFile.model_validate(parse_json(read_regular(checkpoint / HISTORY)))
        if state.global_step != step_of(checkpoint):
            return False
        archives = [
            checkpoint / "optimizer.pt",
            checkpoint / "scheduler.pt",
            *checkpoint.glob("rng_state*.pth"),
        ]
        # a torn archive lacks its end
        return len(archives) > 2 and all(map(is_zipfile, archives))
    except Exception:
        return False  # a torn file may raise anything in its reader


def history_of(checkpoint: str | None) -> dict:
    """What `Checkpointing.observed` returned when the checkpoint was made; {} without one."""
    return json.loads((Path(checkpoint) / HISTORY).read_bytes()) if checkpoint else {}


def remove_after(folder: Path | None, step: int):
    """Remove the checkpoints of later steps, whose state cannot be used."""
    for checkpoint in checkpoints(folder):
        if step_of(checkpoint) > step:
            atomic_files.remove(checkpoint)
