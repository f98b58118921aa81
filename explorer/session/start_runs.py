"""Jobs started from a session's choices as detached runs."""

from ctsft import runs
from ctsft.circuit.checks import TemplateChecks
from ctsft.utils.errors import UserError
from ctsft.utils.home import home_folder
from explorer.session import own_runs, requests
from explorer.session.score_runs import ACTIVE, score_run
from explorer.session.view import View

FIRST_SCORE = "scored-without-request"  # a file that says it happened


def start_score(view: View) -> runs.Run:
    return own_runs.start(requests.score_request(view))


def start_first_score(view: View) -> runs.Run | None:
    """Score the bundled model with the default settings, which takes seconds, without a request: at
    most once in a user's folder, and never beside another job. None where it does not apply.
    """
    default = View()
    if (view.subject, view.scoring) != (default.subject, default.scoring):
        return None
    if score_run() or any(run.status().active for run in runs.list_runs()):
        return None
    try:
        # fails if it exists: of two sessions at the same moment one starts it
        (home_folder() / FIRST_SCORE).open("x").close()
    except (OSError, UserError):  # the page says what is wrong with the folder
        return None
    return start_score(view)


def ensure_score(view: View) -> runs.Run:
    """The scoring run of these settings that is done or active; otherwise a new one."""
    return score_run(("done", *ACTIVE)) or start_score(view)


def start_discovery(view: View) -> runs.Run:
    return own_runs.start(requests.discover_request(view))


def start_curve(view: View, scored: runs.Run, n_random: int, split: str = "valid") -> runs.Run:
    return own_runs.start(requests.curve_request(view, scored.id, n_random, split))


def start_measurement(view: View, scored: runs.Run, circuit: str) -> runs.Run:
    """Measure the circuit in a file."""
    return own_runs.start(requests.circuit_request(view, scored.id, circuit))


def start_surrogate(view: View, scored: runs.Run) -> runs.Run:
    return own_runs.start(requests.surrogate_request(view, scored.id))


def start_checks(view: View, n_random: int, pools: int) -> runs.Run:
    return own_runs.start(requests.validate_request(view, n_random, pools))


def start_templates(view: View, templates: TemplateChecks, file: str) -> runs.Run:
    return own_runs.start(requests.templates_request(view, templates, file))


def start_advice(view: View, k: int) -> runs.Run:
    return own_runs.start(requests.advise_request(view, k))


def start_competence(view: View, epochs: int = 3, lr: float = 5e-5) -> runs.Run:
    return own_runs.start(requests.competence_request(view, epochs, lr))
