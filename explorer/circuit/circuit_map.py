"""The head map of Circuit: a click adds a head to the circuit or removes it. The strip under the
map draws the change at once and stores it.
"""

from explorer.circuit.page_circuit import PageCircuit
from explorer.widgets import chart, head_keys, head_map, score_strip

KEY = "circuit_map"


def draw(shown: PageCircuit):
    scores, model, is_preview = shown.scores, shown.model, shown.is_preview
    of_page = head_map.HeadMap(scores, shown.circuit, model, KEY, "circuit", is_preview)
    head_map.draw(of_page, config={"displaylogo": False, **chart.STILL_AXES})
    head_keys.draw(KEY, tuple(scores.values.shape))
    score_strip.draw(score_strip.Strip(scores, model, KEY, True, is_preview))
