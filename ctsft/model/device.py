"""The device and the number format that a model is loaded with."""

import os

import torch

from ctsft.utils.errors import UserError

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "tf32": torch.float32,  # float32 whose matrix products a GPU rounds to TF32
}


def choose_device(device: str) -> torch.device:
    """The device of that name; "auto" is CUDA if there is one, else MPS, else the CPU. Raises
    UserError for a device that is not available.
    """
    if device == "auto":
        device = best_device()
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        # one of several processes on this machine
        check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):
        raise UserError(
            f"The device {device!r} is not available here; choose auto, cpu, cuda, mps or map."
        ) from None


def check_gpus(processes: int) -> None:
    """UserError, in every process, where they are more than the machine's GPUs."""
    gpus = torch.cuda.device_count()
    if processes > gpus > 0:
        raise UserError(
            f"{processes} processes were started on a machine with {gpus} GPU{'s' * (gpus > 1)};"
            f" start at most {gpus} (torchrun --nproc-per-node {gpus}), or use --device cpu."
        )


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(dtype: str) -> torch.dtype:
    """The number format of that name; "auto" is float32, "tf32" also allows TF32 products on GPUs.
    Raises UserError for a name that is not in `DTYPES`.
    """
    if dtype == "auto":
        return torch.float32
    if dtype not in DTYPES:
        raise UserError(f"{dtype!r} is not a dtype; choose from auto, {', '.join(DTYPES)}.")
    if dtype == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = True
    return DTYPES[dtype]
