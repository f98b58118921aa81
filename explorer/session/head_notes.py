"""Notes on heads: stored beside a scoring run, and shown for every scoring of the same weights,
task and language.
"""

from collections.abc import Iterator

from ctsft import runs
from ctsft.attribution.scores import Head
from ctsft.jobs.requests import request_of, typed_runs
from ctsft.runs import notes
from ctsft.utils.format import head_name
from explorer.session import own_runs


def related(run: runs.Run) -> Iterator[runs.Run]:
    """Other scorings of the same weights, task and language."""
    request = request_of(run)
    if request is None:
        return
    for other, of in typed_runs("score"):
        same = (of.subject, of.facts.model_fingerprint) == (
            request.subject,
            request.facts.model_fingerprint,
        )
        if same and other.id != run.id:
            yield other


def by_name(run: runs.Run) -> dict[str, str]:
    """{"L2.H1": note}; where two runs have a note on a head, that of `run`, else of the newest."""
    texts = dict(notes.read_note(run).heads)
    for other in related(run):
        texts = notes.read_note(other).heads | texts
    return texts


def of_heads(run: runs.Run | None, heads) -> dict[Head, str]:
    """The notes on some heads."""
    texts = by_name(run) if run else {}
    return {head: texts[head_name(head)] for head in heads if head_name(head) in texts}


def save(run: runs.Run, head: Head, note: str):
    """Store a note in place of every other one on the head. UserError where the run is not the
    user's own.
    """
    own_runs.save_head_note(run, head_name(head), note)
    for other in related(run):
        if own_runs.is_own(other) and head_name(head) in notes.read_note(other).heads:
            own_runs.save_head_note(other, head_name(head), "")
