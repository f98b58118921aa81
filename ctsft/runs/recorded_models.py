"""Models whose recorded runs come with the program and whose weights do not.

The folder of such an exploration holds `model.json` beside its runs: the configuration, from which
the model's shape follows, and the fingerprint of the weights that the runs were made with.
"""

from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ctsft.runs import explorations
from ctsft.runs.folder import file_stamp
from ctsft.utils.json_files import read_regular

FILE = "model.json"
PREFIX = "recorded/"  # begins the names of these models


class RecordedModel(BaseModel):
    """The content of `model.json`. name: what requests call the model; hub: the published model
    that it was made from; made: a sentence, what was done to it; accuracy: {language: of the tuned
    model on validation rows}; size: examples that the heads were scored on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str
    hub: str
    licence: str
    made: str
    config: dict
    fingerprint: str
    task: str
    source: str
    target: str
    size: int
    accuracy: dict[str, float] = {}

    @property
    def why_not(self) -> str:
        """Why nothing new can be computed, and what to do."""
        return (
            f"{self.title} is recorded without its weights, so only what was recorded is shown. To"
            f" compute something new, enter {self.hub} as a hub name on Setup."
        )


def recorded_models() -> dict[str, RecordedModel]:
    """{name: model}, in the order of their folders."""
    files = [folder / FILE for folder in explorations.folders(explorations.RECORDED)]
    models = [_read(path, file_stamp(path)) for path in files if path.is_file()]
    return {model.name: model for model in models}


@lru_cache(maxsize=8)
def _read(path: Path, stamped: tuple | None) -> RecordedModel:
    return RecordedModel.model_validate_json(read_regular(path))


def recorded_model(name: str) -> RecordedModel | None:
    """None for a model with weights."""
    return recorded_models().get(name) if name.startswith(PREFIX) else None
