"""A checkpoint that holds anything is passed over, or refused in one sentence."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ctsft.tuning.checkpoints import checkpoints, newest_checkpoint
from ctsft.tuning.finetune import Watch, finetune
from ctsft.utils.errors import UserError
from support.tasks import cued
from support.training import CIRCUIT, QUICK, stopping

CONFIG = QUICK.model_copy(update={"checkpoint_every": 1, "eval_every": 4})


@pytest.fixture
def folder(build, task, tmp_path):
    """Checkpoints of steps 1 and 2."""
    watch = Watch(folder=tmp_path, stop=stopping(after=2))
    finetune(build("gpt2"), task, CIRCUIT, cued(12), {"a": cued(6)}, CONFIG, watch)
    assert newest_checkpoint(tmp_path).endswith("checkpoint-2") and len(checkpoints(tmp_path)) == 2
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.json", "null"),
        ("history.json", '{"history": 3}'),
        ("history.json", '{"losses": ["low"]}'),
        ("history.json", "[" * 100_000),
        ("trainer_state.json", "[]"),
        ("trainer_state.json", '{"global_step": "two"}'),
        ("trainer_state.json", '{"global_step": 7}'),
    ],
)
def test_a_checkpoint_of_anything_is_passed_over(folder, name, content):
    (folder / "checkpoint-2" / name).write_text(content)
    assert newest_checkpoint(folder).endswith("checkpoint-1")


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt"])
def test_states_that_torch_did_not_write_are_passed_over(folder, name):
    torch.save([1, 2], folder / "checkpoint-2" / name)
    assert newest_checkpoint(folder).endswith("checkpoint-1")


def test_a_checkpoint_of_other_parameters_is_refused(build, task, folder):
    path = folder / "checkpoint-2" / "trained.safetensors"
    tensors = load_file(path)
    first = min(tensors)
    save_file({name: value for name, value in tensors.items() if name != first}, path)
    watch = Watch(folder=folder, resume=True)
    with pytest.raises(UserError, match="of other trained parameters") as error:
        finetune(build("gpt2"), task, CIRCUIT, cued(12), {"a": cued(6)}, CONFIG, watch)
    assert first[:20] in str(error.value) and json.dumps(first) not in ("", None)
