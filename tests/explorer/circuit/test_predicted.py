"""Faithfulness of the circuit while it is edited: predicted by a run's surrogate, replaced by a
measurement, and where there is neither the button that starts the run.
"""

import json
import time

import numpy as np
import pytest

from ctsft import runs
from ctsft.circuit.held_out_sets import HeldOutSets
from ctsft.circuit.mask_design import draw_masks
from ctsft.circuit.measured_sets import MEASURES, MeasuredSets
from ctsft.circuit.selection import select
from ctsft.circuit.surrogate import FaithfulnessSurrogate
from ctsft.jobs.surrogate import FILE
from explorer.session import circuit as session_circuit
from explorer.session import predictions, requests
from support.circuit_page import HEADS, LAYERS, keep, made, opened, strip
from support.pages import button, receipts, shown

N_HEADS = LAYERS * HEADS


@pytest.fixture(scope="module")
def surrogate() -> FaithfulnessSurrogate:
    """Of a task that the first head of the ranking and one more carry, about half each."""
    masks, near = draw_masks([list(range(N_HEADS))], N_HEADS, 60)
    ends = np.stack([np.zeros(N_HEADS, bool), np.ones(N_HEADS, bool)])
    masks, near = np.concatenate([ends, masks]), np.r_[False, False, near]
    gold = np.arange(12) % 2
    total = 0.4 * masks[:, 1 * HEADS + 2] + 0.6 * masks[:, 2 * HEADS + 0]
    logits = np.zeros((len(masks), 12, 2), np.float32)
    logits[:, np.arange(12), gold] = total[:, None] - 0.5
    return FaithfulnessSurrogate.fit(MeasuredSets((LAYERS, HEADS), masks, logits, gold, near))


def fitted(view, scored, surrogate, means: str = "") -> runs.Run:
    """The folder that a surrogate run leaves."""
    with runs.record(requests.surrogate_request(view, scored.id)) as run:
        surrogate.save(run.file(FILE))
        content = {"rows": 12, "circuits": 62, "held_out": {}, "means": means}
        run.file("result.json").write_text(json.dumps(content))
    return run


def sentence(app) -> str:
    texts = [one.value for one in app.markdown if one.value.startswith(predictions.WHAT)]
    return texts[0] if texts else ""


def test_an_edit_by_hand_changes_the_prediction_at_once(view, surrogate):
    view.measure = "margin"
    run = fitted(view, keep(view), surrogate)
    app = opened(view)
    assert receipts(app).count(f"<dd>{run.id}</dd>") == 2, "of the map and of the sentence"
    assert sentence(app).startswith(f"{predictions.WHAT}: about **0.4")
    known = strip(app)["known"]
    assert known["value"].startswith("≈ 0.4") and "predicted [" in known["note"]
    assert [1, 2] in known["heads"] and len(known["heads"]) == 3
    view = app.session_state["view"]
    view.added = frozenset({(2, 0)})
    shown(app.run())
    assert "about **1.0" in sentence(app) or "about **0.9" in sentence(app)
    assert len(strip(app)["known"]["heads"]) == 4
    assert not any(predictions.WHAT in one.label for one in app.button)


def test_a_measurement_replaces_the_prediction(view, surrogate, started):
    view.measure = "margin"
    scored = keep(view)
    fitted(view, scored, surrogate)
    app = opened(view)
    shown(button(app, "Measure it").click().run())
    (request,) = started
    circuit = select(made(), "top", k=3)
    assert (request.kind, request.scores) == ("faithfulness", scored.id)
    assert request.circuit == str(session_circuit.circuit_path(circuit.heads))
    with runs.record(request) as run:
        result = {"rows": 9, "heads": 3, "accuracy": 0.5, "margin": 0.777}
        run.file("result.json").write_text(json.dumps(result))
    app = opened(view)
    assert f"<dd>{run.id}</dd>" in receipts(app)
    assert sentence(app) == f"{predictions.WHAT}: **0.78** (measured by logit margin on 9 rows)"
    assert strip(app)["known"]["value"] == "0.78"
    view.k = 2
    assert "0.78" not in sentence(opened(view)), "another circuit was not measured"


def test_a_point_of_the_measured_curve_is_a_measurement_of_its_heads(view, surrogate):
    view.measure = "margin"
    scored = keep(view)
    with runs.record(requests.curve_request(view, scored.id, 1)) as run:
        run.event(kind="ranked", size=3, seed=0, accuracy=0.2, margin=0.31)
        run.file("result.json").write_text(json.dumps({"rows": 9, "points": []}))
    assert "**0.31** (measured" in sentence(opened(view))
    view.removed = frozenset({(1, 2)})
    assert sentence(opened(view)) == "", "edited by hand it is another circuit"
    fitted(view, scored, surrogate)
    assert "(predicted" in sentence(opened(view))


def test_without_predictions_a_button_names_the_cost_and_starts_the_run(view, started):
    scored = keep(view)
    app = opened(view)
    assert sentence(app) == "" and strip(app)["known"] is None
    start = next(one for one in app.button if one.label.startswith("Predict faithfulness"))
    assert "(about " in start.label and "Measures 300 circuits once" in start.help
    shown(start.click().run())
    assert [(one.kind, one.scores) for one in started] == [("surrogate", scored.id)]


def test_a_file_that_cannot_be_read_is_replaced_by_a_new_run(view, surrogate):
    run = fitted(view, keep(view), surrogate)
    run.file(FILE).write_bytes(b"of an earlier version")
    app = opened(view)
    assert sentence(app) == ""
    assert [one for one in app.button if one.label.startswith("Predict faithfulness")]


def test_predictions_of_other_rows_or_means_do_not_count(view, surrogate):
    scored = keep(view)
    other = runs.Run(scored.path.with_name("another-run"))
    fitted(view, other, surrogate, means="0123456789abcdef")
    app = opened(view)
    assert sentence(app) == ""
    digest = predictions.tensors_hash({"": predictions.score_runs.means_of(scored).values})
    fitted(view, other, surrogate, means=digest)
    assert "(predicted" in sentence(opened(view)), "the same means of another scoring"


def test_from_click_to_number_takes_less_than_a_tenth_of_a_second(view, surrogate):
    draw, shape = np.random.default_rng(0), (30, 9)
    masks = draw.random((300, 270)) < 0.5
    masks[0], masks[1] = False, True
    logits = draw.normal(size=(300, 100, 3)).astype(np.float32)
    sets = MeasuredSets(shape, masks, logits, np.arange(100) % 3, masks[:, 0])
    large = FaithfulnessSurrogate(
        sets,
        surrogate.process.__class__(
            surrogate.process.kernel.__class__(np.ones(270), (1.0, 0.3, 1.0, 0.3), 1e-3),
            masks,
            sets.outputs,
        ),
        HeldOutSets(
            draw.normal(size=(240, 300)),
            draw.normal(size=240),
            np.full(240, 0.1),
            {measure: draw.normal(size=(2, 240)) for measure in MEASURES},
        ),
    )
    large.predict([(0, 0)], "accuracy")
    times = []
    for head in range(5):
        began = time.perf_counter()
        large.predict([(0, head), (4, 3)], "accuracy")
        times.append(time.perf_counter() - began)
    assert min(times) < 0.1
