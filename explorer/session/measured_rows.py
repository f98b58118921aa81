"""The number of rows on which a finished run was measured."""

from ctsft.data.task import rows_hash
from ctsft.jobs.requests import FinetuneRequest, request_of
from ctsft.runs.folder import Run
from ctsft.runs.results import result
from ctsft.utils.errors import UserError
from explorer.session import inputs


def measured_on(run: Run) -> dict[str, int]:
    """The number of rows on which a run measured each language's accuracy; {} if the rows are not
    available any more or have changed.
    """
    request, final = request_of(run), result(run).get("final")
    if final:
        # measured on another split than the curves, and counted by the run
        return {language: of["rows"] for language, of in final["after"].items()}
    if not isinstance(request, FinetuneRequest):
        return {}
    subject, known = request.subject, request.facts.data_fingerprints
    counts = {}
    for language in [name for name in known if name != "train"]:
        try:
            rows = inputs.load_rows(
                subject.task, subject.data_dir or "", language, request.tuning.eval_split
            )
        except UserError:
            return {}
        if rows_hash(rows) != known[language]:
            return {}
        counts[language] = len(rows)
    return counts
