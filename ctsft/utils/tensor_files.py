"""The one door for tensors that the program reads back: safetensors files whose header is checked
(names, number formats, shapes) and whose description is typed JSON, refused in one sentence.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from ctsft.utils.errors import UserError, cut, quoted
from ctsft.utils.json_files import checked, open_regular, parse_json, reason_of

if TYPE_CHECKING:
    import torch

Model = TypeVar("Model", bound=BaseModel)
Tensors = dict[str, "torch.Tensor"]


class TensorFile:
    """What was read of a file, and the sentence that refuses it.

    what: names the kind of file in the sentence ("The scores file"); advice: says what to do.
    """

    def __init__(self, path: Path, what: str, advice: str):
        self.path = Path(path)
        self.name = f"{what} {cut(path, 200)}"
        self.advice = advice

    def refusal(self, why: str) -> UserError:
        return UserError(f"{self.name} cannot be used: {why}; {self.advice}.")

    def read(self, key: str, kind: type[Model]) -> tuple[Model, Tensors]:
        """The typed description in the metadata `key`, and all tensors, on the CPU. UserError."""
        from safetensors import SafetensorError, safe_open

        try:
            open_regular(self.path).close()
        except OSError as error:
            raise UserError(
                f"{self.name} cannot be read ({reason_of(error)}); {self.advice}."
            ) from None
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
            raise self.refusal(f"it is not a safetensors file ({cut(error)})") from None
        if key not in metadata:
            raise self.refusal(f"its header has no {key!r}")
        try:
            content = parse_json(metadata[key])
        except ValueError as error:
            raise self.refusal(f"its header's {key!r} is {reason_of(error)}") from None
        return checked(content, kind, self.name, self.advice), tensors

    def need_names(self, tensors: Tensors, names: Sequence[str]) -> None:
        """UserError where a tensor is missing, or one is there that is not known."""
        missing = [name for name in names if name not in tensors]
        if missing:
            raise self.refusal(f"the tensor {quoted(missing[0])} is missing")
        unknown = [name for name in tensors if name not in names]
        if unknown:
            raise self.refusal(f"the tensor {quoted(unknown[0])} is not known")

    def need_shape(self, name: str, value: "torch.Tensor", shape: Sequence[int | None]) -> None:
        """UserError where a tensor has another shape; None stands for any size above 0."""
        fits = len(value.shape) == len(shape) and all(
            size == expected or (expected is None and size > 0)
            for size, expected in zip(value.shape, shape, strict=True)
        )
        if not fits:
            written = " x ".join("any" if size is None else str(size) for size in shape)
            raise self.refusal(
                f"the tensor {quoted(name)} has the shape {tuple(value.shape)}, and {written} was"
                " expected"
            )

    def need_floats(self, name: str, value: "torch.Tensor") -> None:
        """UserError for a tensor of whole numbers or truth values."""
        if not value.is_floating_point():
            raise self.refusal(
                f"the tensor {quoted(name)} holds {value.dtype}, and floating-point numbers were"
                " expected"
            )

    def need_finite(self, name: str, value: "torch.Tensor") -> None:
        """UserError for a tensor of whole numbers, or one with values that are NaN or infinite."""
        self.need_floats(name, value)
        if not value.isfinite().all():
            raise self.refusal(f"the tensor {quoted(name)} has values that are NaN or infinite")
