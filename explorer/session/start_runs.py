"""Jobs started from a session's choices as detached runs."""

from ctsft import runs
from explorer.session import requests
from explorer.session.score_runs import ACTIVE, score_run
from explorer.session.view import View


def start_score(view: View) -> runs.Run:
    return runs.start(requests.score_request(view))


def ensure_score(view: View) -> runs.Run:
    """The scoring run of these settings that is done or active; otherwise a new one."""
    return score_run(("done", *ACTIVE)) or start_score(view)


def start_discovery(view: View) -> runs.Run:
    return runs.start(requests.discover_request(view))


def start_curve(view: View, scored: runs.Run, n_random: int, split: str = "valid") -> runs.Run:
    return runs.start(requests.curve_request(view, scored.id, n_random, split))


def start_checks(view: View, n_random: int, pools: int) -> runs.Run:
    return runs.start(requests.validate_request(view, n_random, pools))


def start_advice(view: View, k: int) -> runs.Run:
    return runs.start(requests.advise_request(view, k))


def start_competence(view: View, epochs: int = 3, lr: float = 5e-5) -> runs.Run:
    return runs.start(requests.competence_request(view, epochs, lr))
