"""Starting and changing runs from a page. On a shared server a visitor stops, continues, names and
deletes only the runs that they started; the trials of an experiment belong to whoever started it.

Pages change runs through this module only.
"""

from typing import Literal

from ctsft import runs
from ctsft.jobs.requests import FinetuneRequest, SubjectRequest, request_of, typed_runs
from ctsft.runs import notes
from ctsft.runs.explorations import origin_of
from ctsft.runs.recorded_models import recorded_model
from ctsft.utils.errors import UserError
from explorer.session import visitors
from explorer.session.visitors import OWNER

READ_ONLY = "Recorded runs and those of an exploration are read only."
FOREIGN = "Another visitor of this server started this run; only they can change it."


def is_own(run: runs.Run) -> bool:
    if origin_of(run):
        return False
    if visitors.is_mine(run.file(OWNER)):
        return True
    request = request_of(run)
    if not isinstance(request, FinetuneRequest) or request.trial_of is None:
        return False
    return visitors.is_mine(run.path.with_name(request.trial_of.run) / OWNER)


def explained(run: runs.Run, help: str) -> str:
    """The help of a button that changes a run, or why it is disabled."""
    return help if is_own(run) else why_not(run)


def why_not(run: runs.Run) -> str:
    return READ_ONLY if origin_of(run) else FOREIGN


def needed_own(run: runs.Run) -> runs.Run:
    """UserError for another visitor's run."""
    if not is_own(run):
        raise UserError(why_not(run))
    return run


def start(request: runs.Request) -> runs.Run:
    """UserError for a model without weights."""
    if isinstance(request, SubjectRequest) and (model := recorded_model(request.subject.model)):
        raise UserError(model.why_not)
    run = runs.start(request)
    visitors.claim(run.file(OWNER))
    return run


def resume(run: runs.Run) -> runs.Run:
    return runs.resume(needed_own(run))


def stop(run: runs.Run, mode: Literal["keep", "discard"]):
    if mode == "discard":
        keep_trials(needed_own(run))
    runs.stop(needed_own(run), mode)


def delete(run: runs.Run):
    keep_trials(needed_own(run))
    runs.delete(run)


def save_note(run: runs.Run, name: str, note: str):
    notes.save_note(needed_own(run), name, note)


def save_head_note(run: runs.Run, head: str, note: str):
    notes.save_head_note(needed_own(run), head, note)


def keep_trials(experiment: runs.Run):
    """Mark the trials of an experiment that is deleted, which stay behind, as the visitor's."""
    if experiment.request.kind == "experiment":
        for run, request in typed_runs("finetune"):
            if not origin_of(run) and request.trial_of and request.trial_of.run == experiment.id:
                visitors.claim(run.file(OWNER))
