"""On how many rows a finished run was measured."""

from ctsft.data.task import rows_hash
from ctsft.runs.folder import Run
from ctsft.runs.results import result
from ctsft.utils.errors import UserError
from explorer.session import inputs


def measured_on(run: Run) -> dict[str, int]:
    """How many rows a run's accuracies were measured on; {} when the rows are not there any more or
    are other ones.
    """
    params, final = run.request.params, result(run).get("final")
    if final:
        # its figures are of another split than the curves, and were counted
        return {language: of["rows"] for language, of in final["after"].items()}
    subject, split, known = (
        params.get("subject", {}),
        params.get("tuning", {}).get("eval_split", "test"),
        params.get("data_fingerprints", {}),
    )
    counts = {}
    for language in [name for name in known if name != "train"]:
        try:
            rows = inputs.load_rows(
                subject.get("task"), subject.get("data_dir") or "", language, split
            )
        except UserError:
            return {}
        if rows_hash(rows) != known[language]:
            return {}
        counts[language] = len(rows)
    return counts
