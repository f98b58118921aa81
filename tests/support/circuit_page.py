"""The Circuit page with scores made by hand for a tiny model."""

import json

import torch
from streamlit.testing.v1 import AppTest

from ctsft import runs
from ctsft.attribution.means import Means
from ctsft.attribution.score_config import ScoreConfig
from ctsft.attribution.scores import Scores
from explorer.session.requests import score_request
from explorer.session.view import View
from support.pages import APP, chart, first_run, shown

# of the tiny qwen2, which has 2 key/value heads
LAYERS, HEADS = 3, 4


def made(best=((1, 2), (0, 0), (2, 3), (1, 0)), method="cdt") -> Scores:
    """Scores whose ranking begins with `best`; every head has another one."""
    values = -torch.arange(LAYERS * HEADS).float().reshape(LAYERS, HEADS) / 10
    for i, at in enumerate(best):
        values[at] = 3.0 - i / 2
    noise = torch.tensor([0.1, -0.1])[:, None, None]
    about = {
        "model": "tiny",
        "model_type": "qwen2",
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "n_kv_heads": 2,
        "task": "reviews",
    }
    return Scores(
        values + noise, ["a", "b"], ["positive", "negative"], method, ScoreConfig(), about
    )


def keep(view: View, name="scores") -> runs.Run:
    """The folder that a scoring run leaves."""
    with runs.record(score_request(view)) as run:
        made().save(run.file(f"{name}.safetensors"))
        z = torch.zeros(LAYERS, HEADS, 8)
        Means(z, {"positive": z + 1, "negative": z - 1}, {"positive": 1, "negative": 1}).save(
            run.file("means.safetensors")
        )
    return run


def opened(view: View) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.session_state["view"] = view
    return shown(first_run(app, "circuit/page.py"))


def outlined(app: AppTest) -> set:
    """The heads with an outline on the map."""
    fig = chart(app)
    x, y = next(
        ([*trace["x"], None], trace["y"]) for trace in fig["data"] if trace.get("name") == "outline"
    )
    corners = [i for i in range(len(x) - 1) if i == 0 or x[i - 1] is None]
    return {(round(y[i] + 0.45), round(x[i] + 0.45)) for i in corners if x[i] is not None}


def strip(app: AppTest) -> dict:
    """What the strip under the map is given."""
    protos = [one.proto for one in app.get("bidi_component")]
    return next(json.loads(proto.json) for proto in protos if proto.component_name == "score_strip")


def heads_shown(app: AppTest) -> str:
    """The number of heads as the strip counts them, such as "6 of 48"."""
    data = strip(app)
    rule = data["base"] if data["cut"] is None else data["heads"][: data["cut"]]
    members = {tuple(head) for head in [*rule, *data["added"]]}
    return f"{len(members - {tuple(head) for head in data['removed']})} of {data['n_heads']}"
