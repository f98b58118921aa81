"""Checkpoints of a tuning run: only what moves, and all that the rest of the run depends on.

    checkpoint-N/   trained.safetensors     the moving numbers after N steps          optimizer.pt, scheduler.pt, scaler.pt
                    rng_state.pth         python's, numpy's and torch's generators, as after step N
                    trainer_state.json    steps and epochs done; the order of the rows follows from
                                          the seed and them
                    history.json          the evaluations so far and the losses since the last one

A checkpoint appears whole or not at all (`atomic_path`), so a run killed at any moment goes on from
the newest one to the same bits. The two newest are kept.
"""

import json
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import Trainer

from ctsft.utils import atomic_files

TRAINED, HISTORY, STATE = "trained.safetensors", "history.json", "trainer_state.json"
KEPT = 2

# bytes beside tensors: generators, the optimiser's words, the state
OVERHEAD = 200_000


class Checkpointing(Trainer):
    """A Trainer whose checkpoints hold only what moves, and `watched()`: what its observer has
    seen.
    """

    def watched(self) -> dict:
        return {}

    def _save_checkpoint(self, model, trial=None):
        step, folder = self.state.global_step, Path(self.args.output_dir)
        # Adam keeps two numbers for each
        need = 3 * sum(value.nbytes for _, value in trainable_parameters(self.model)) + OVERHEAD
        if not self.args.should_save:
            # one of several processes: its own generators, beside the first one's files
            self.accelerator.wait_for_everyone()
            self._save_rng_state(str(folder / f".checkpoint-{step}.part"))
            self.accelerator.wait_for_everyone()
            return
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_files.atomic_path(
            folder / f"checkpoint-{step}", f"the checkpoint of step {step}", need
        ) as part:
            part.mkdir()
            self._save(part)
            self._save_optimizer_and_scheduler(str(part))
            self._save_scaler(str(part))
            (part / HISTORY).write_text(json.dumps(self.watched()), encoding="utf-8")
            self.accelerator.wait_for_everyone()
            self._save_rng_state(str(part))
            self.accelerator.wait_for_everyone()
            self.state.save_to_json(str(part / STATE))
        for old in checkpoints(folder)[:-KEPT]:
            atomic_files.remove(old)

    def _save(self, output_dir=None, state_dict=None):
        save_file(
            {name: value.detach().contiguous() for name, value in trainable_parameters(self.model)},
            Path(output_dir) / TRAINED,
        )

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        saved = load_file(Path(resume_from_checkpoint) / TRAINED)
        with torch.no_grad():
            for name, value in trainable_parameters(model or self.model):
                value.copy_(saved[name])


def trainable_parameters(hf) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, value) for name, value in hf.named_parameters() if value.requires_grad]


def checkpoints(folder: Path | None) -> list[Path]:
    """The whole checkpoints of a folder, the newest last; torn ones are left out."""
    found = (
        [
            path
            for path in Path(folder).glob("checkpoint-*")
            if path.name[11:].isdecimal() and is_whole(path)
        ]
        if folder
        else []
    )
    return sorted(found, key=step_of)


def newest_checkpoint(folder: Path | None) -> str | None:
    """The newest whole checkpoint of a run's folder; None when there is none (the run then starts
    anew).
    """
    found = checkpoints(folder)
    return str(found[-1]) if found else None


def step_of(checkpoint: Path) -> int:
    return int(Path(checkpoint).name.split("-")[1])


def is_whole(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there and can be opened."""
    try:
        with safe_open(checkpoint / TRAINED, "pt") as file:
            # refuses a file shorter than its header says
            file.keys()
        for name in (STATE, HISTORY):
            json.loads((checkpoint / name).read_bytes())
        archives = [
            checkpoint / "optimizer.pt",
            checkpoint / "scheduler.pt",
            *checkpoint.glob("rng_state*.pth"),
        ]
        # a torn archive lacks its end
        return len(archives) > 2 and all(map(is_zipfile, archives))
    except Exception:
        # whatever a torn file makes its reader raise
        return False


def watched_of(checkpoint: str | None) -> dict:
    """What `Checkpointing.watched` told when the checkpoint was made; {} without one."""
    return json.loads((Path(checkpoint) / HISTORY).read_bytes()) if checkpoint else {}


def forget_after(folder: Path | None, step: int):
    """Remove the checkpoints of later steps: the state they hold is no good."""
    for checkpoint in checkpoints(folder):
        if step_of(checkpoint) > step:
            atomic_files.remove(checkpoint)
