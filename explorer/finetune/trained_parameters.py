"""Which heads and how many parameters the next run will train; no streamlit."""

from ctsft.attribution.scores import Head
from ctsft.circuit.circuit import Circuit
from ctsft.circuit.selection import select
from ctsft.jobs.request_parts import CONTROLS
from ctsft.model.model import Model
from ctsft.tuning import parameter_masks, trainable
from ctsft.tuning.lora_settings import Lora
from ctsft.tuning.recipes import RECIPES, trainable_of
from explorer.finetune.command import ADAPTERS, SLICES, HeadSources, config
from explorer.session import advice_runs
from explorer.session.view import View


def heads(view: View, sources: HeadSources) -> Circuit | None:
    """The heads that will be trained or, with adapters, whose layers get them; no heads for
    "norms", all for "full". None while they are not known: without scores, or if the run computes
    advice.
    """
    scores, circuit = sources.scores, sources.circuit
    if view.what == "norms":
        return select(scores, "none") if scores else None
    if not RECIPES[view.what].needs_heads:
        return select(scores, "all") if scores else None
    if view.what == "advised":
        ranking = advice_runs.read(sources.advice_run)
        return ranking.circuit(sources.k) if ranking else None
    if view.what in CONTROLS and scores and circuit:
        seed = {"seed": view.tune_seed} if view.what == "random" else {}
        return select(scores, view.what, k=len(circuit), **seed)
    return circuit


def outlined(view: View, model: Model, chosen: Circuit | None) -> Circuit:
    """The heads that the map outlines: the trained ones; with adapters, every head of their
    layers.
    """
    if view.what not in ADAPTERS:
        return chosen or Circuit(frozenset())
    layers = ()
    if chosen or view.what == "lora":
        layers = trainable_of(model, view.what, chosen).adapted
    adapted = [head for head in model.heads if head[0] in layers]
    return Circuit(frozenset(adapted), dict.fromkeys(adapted, "adapters"))


def sharing_heads(view: View, model: Model, chosen: Circuit | None) -> list[Head]:
    """The heads that are trained in part because they share keys and values with a chosen head."""
    if view.what in SLICES and view.kv == "group" and chosen:
        return sorted(trainable.heads_sharing_kv(model, chosen.heads))
    return []


def count(view: View, model: Model, chosen: Circuit | None) -> int | None:
    """The number of parameters that will be trained; None where the run has yet to choose them.
    Raises UserError if there are none, or if the model has no such map for LoRA.
    """
    needs_heads = RECIPES[view.what].needs_heads
    if needs_heads and chosen is None:
        return None
    settings = config(view)
    parts = trainable_of(model, view.what, chosen if needs_heads else None, norms=settings.norms)
    if parts.mask == "ssu":
        return model.n_params - parameter_masks.shielded_count(model)
    if parts.mask:
        return None
    if parts.everything:
        return model.n_params
    if parts.adapted:
        lora = Lora(settings.lora_rank, settings.lora_alpha, settings.lora_targets)
        return lora.size(model, parts.adapted)
    return trainable.trainable_count(model, parts.heads, settings.kv, parts.norms)
