"""The library's objects as Plotly figures, for notebooks and for the explorer.

Every name below takes objects of the library (`Scores`, `Means`, `Circuit`, `TuneResult`, ...),
returns a `plotly.graph_objects.Figure` and raises UserError, in one sentence, for another input.
They are imported when first used, so that `import ctsft` waits for nothing.
"""

from importlib import import_module

_MODULE_OF = {
    "advice_map": "advice",
    "agreement": "score_agreement",
    "discovery_graph": "layered_graph",
    "example_strip": "score_charts",
    "faithfulness_curve": "faithfulness",
    "frontier": "experiment_frontier",
    "head_map": "score_maps",
    "label_maps": "score_maps",
    "means_map": "score_maps",
    "overlap": "circuit_overlap",
    "position_map": "heads_by_position",
    "role_map": "head_roles",
    "run_curves": "training_curves",
    "score_bars": "score_charts",
    "share_curves": "share_chart",
    "template_chart": "template_effects",
    "undo_paths": "undo_chart",
    "validation_chart": "validation",
    "weight_change": "change_map",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ctsft.plots' has no attribute {name!r}")
    value = getattr(import_module(f"ctsft.plots.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
