"""The environment of every test, set before any library reads it: the local hub's address, new
empty folders for caches and runs, one thread for torch. Import it first.
"""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import accelerate.utils.memory
import torch

from support.hub import ADDRESS

SETTINGS = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_ENDPOINT": ADDRESS,
    "HF_HOME": tempfile.mkdtemp(prefix="ctsft-tests-"),
    "HF_HUB_DISABLE_XET": "1",
    # of started processes: tiny tensors, more threads only wait for each other
    "OMP_NUM_THREADS": "1",
    "CTSFT_HOME": tempfile.mkdtemp(prefix="ctsft-tests-"),
    # forked processes find the helpers of the tests
    "PYTHONPATH": os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).resolve().parents[1])])
    ),
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
os.environ |= SETTINGS
# tiny tensors: more threads only wait for each other
torch.set_num_threads(1)
# no test cuts the power, and a disk takes milliseconds for each of the ten thousands of files
os.fsync = lambda descriptor: None
# every tuning run begins with a collection of garbage, slow in a process with all libraries
accelerate.utils.memory.gc = SimpleNamespace(collect=lambda: 0)
