"""Circuit-targeted supervised fine-tuning: find the attention heads that carry a task, and tune
only those.

Discovery: Contextual Decomposition for Transformers (CD-T, arXiv 2407.00886). Tuning: CT-SFT (arXiv
2601.08146). Names are imported when first used, so that listing runs does not wait for torch.
"""

from importlib import import_module

__version__ = "0.1.0"

# {module: the public names it defines}
_HOMES = {
    "attribution.cost_estimate": ("Estimate", "estimate_cost"),
    "attribution.head_roles": ("HeadRoles",),
    "attribution.head_view": ("HeadView", "view_head"),
    "attribution.means": ("Means", "label_balanced_means"),
    "attribution.pool": ("discovery_set",),
    "attribution.position_scores": ("PositionScores",),
    "attribution.role_gates": ("learn_roles",),
    "attribution.score_heads": ("score_heads",),
    "attribution.score_config": ("ScoreConfig",),
    "attribution.scores": ("Scores",),
    "circuit.advice_ranking": ("Ranking",),
    "circuit.checks": ("Checks", "TemplateChecks"),
    "circuit.circuit": ("Circuit",),
    "circuit.discovery": ("discover", "iterations"),
    "circuit.faithfulness": ("Faithfulness", "faithfulness", "faithfulness_curve"),
    "circuit.mib_importances": ("export_importances",),
    "circuit.selection": ("select",),
    "circuit.surrogate": ("FaithfulnessSurrogate",),
    "circuit.template_effects": ("TemplateEffects", "compare_templates"),
    "circuit.validation": ("Validation", "validate"),
    "data.registry": ("load_task",),
    "data.task": ("Example", "Task"),
    "data.templates": ("Template", "read_templates"),
    "model.architecture": ("Architecture", "Block", "Linear", "Norm"),
    "model.evaluation": ("accuracy", "predict"),
    "model.families": ("FAMILIES", "decoder_head", "layer_norm", "rms_norm"),
    "model.kv_expansion": ("expand",),
    "model.loading": ("load_model",),
    "model.model": ("Model",),
    "model.perplexity": ("perplexity",),
    "tuning.config": ("TuneConfig",),
    "tuning.delta": ("Delta", "apply_delta", "scale_delta"),
    "tuning.delta_comparison": ("add_deltas", "compare_deltas"),
    "tuning.evaluation_sets": ("TaskRows", "Texts"),
    "tuning.finetune": ("TuneResult", "finetune"),
    "tuning.gradients": ("fisher",),
    "tuning.head_undo": ("undo_heads",),
    "tuning.head_advice": ("Advice", "advise_heads"),
    "tuning.observer": ("Watch",),
    "tuning.peft_adapter": ("export_adapter",),
    "tuning.recipes": ("RECIPES", "trainable_of"),
    "tuning.trainable": ("Trainable", "heads_sharing_kv", "trainable_count", "trainable_share"),
    "utils.errors": ("UserError",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name == "plots":
        return import_module("ctsft.plots")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ctsft' has no attribute {name!r}")
    value = getattr(import_module(f"ctsft.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return [*__all__, "__version__", "plots"]
