"""A recorded exploration of a tiny model whose weights are not there."""

import json
from pathlib import Path

from ctsft import runs
from ctsft.model.model import Model
from ctsft.runs import explorations
from ctsft.runs.recorded_models import FILE, RecordedModel

NAME = "recorded/tiny"


def recorded(model: Model, scored: list[runs.Run], **fields) -> RecordedModel:
    """Turn finished runs of this home into recorded ones of a model without weights."""
    folder = explorations.RECORDED / "tiny"
    (folder / "runs").mkdir(parents=True)
    said = RecordedModel(
        name=NAME,
        title="Tiny",
        hub="someone/tiny",
        licence="Apache-2.0",
        made="Nothing was done to it.",
        config=model.hf.config.to_dict(),
        fingerprint=model.fingerprint,
        **fields,
    )
    (folder / FILE).write_text(said.model_dump_json())
    (folder / "exploration.json").write_text("{}")
    for run in scored:
        move(run, folder / "runs" / run.id)
    return said


def move(run: runs.Run, to: Path):
    run.path.rename(to)
    request = json.loads((to / "request.json").read_text())
    request["subject"]["model"] = NAME
    (to / "request.json").write_text(json.dumps(request))
