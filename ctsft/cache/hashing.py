"""Hashes of JSON values and of tensors."""

import hashlib
import json

import torch


def json_hash(value) -> str:
    """32 hex digits of a value's canonical JSON; what JSON does not know counts as its `str`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def tensors_hash(tensors: dict[str, torch.Tensor]) -> str:
    """16 hex digits of the tensors' names and bits."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
