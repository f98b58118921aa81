"""Other scores of the heads and examples on the page: by another method, and by the best stored
estimate of removing each head.
"""

from dataclasses import dataclass

from ctsft import runs
from ctsft.attribution.scores import Scores
from ctsft.attribution.variants import VARIANTS
from ctsft.circuit import ranking_agreement
from ctsft.utils.statistics import spearman
from explorer.session import binding, inputs, requests, score_runs, scoring_choices

REMOVAL = ("ablation", "ig", "atp")  # measured by removing heads, then estimates of that


@dataclass(frozen=True)
class Removal:
    """Scores that say what removing each head changes, by the method `name`, and how far the scores
    on the page agree with them: Spearman's rank correlation, and the heads that disagree most.
    """

    scores: Scores
    name: str
    rho: float
    disagreements: list[ranking_agreement.Disagreement]


def scoring_run(way: str, states: tuple[str, ...]) -> runs.Run | None:
    """The newest run that scores the current examples with a method."""
    view = binding.view()
    scoring = scoring_choices.other_way(view.scoring, way)
    request = requests.score_request(view).model_copy(update={"scoring": scoring})
    return score_runs.find_same(request, states, (None, inputs.load_model(view.model).fingerprint))


def scores_by(way: str) -> Scores | None:
    """The scores of a method. For attribution patching, the preview of the current scoring run
    serves too.
    """
    scores = score_runs.scores_of(scoring_run(way, ("done",)))
    if scores is None and way == "atp":
        return score_runs.scores_of(score_runs.score_run(("done",)), "preview")
    return scores


def removal(scores: Scores) -> Removal | None:
    """What the removal of each head changes, for CD-T scores; None for other methods, and where
    nothing is stored.
    """
    if scores.method != "cdt":
        return None
    for way in REMOVAL:
        other = scores_by(way)
        if other is not None and other.values.shape == scores.values.shape:
            return Removal(
                other,
                VARIANTS[way].label,
                spearman(scores.values.numpy(), other.values.numpy()),
                ranking_agreement.disagreements(scores, other),
            )
    return None
