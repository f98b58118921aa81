"""What a run left behind: its summary, and its evaluations, each checked by type here
(`result_schemas`), so that no page and no table meets anything else.
"""

from pydantic import ValidationError

from ctsft.runs.folder import Run
from ctsft.runs.result_schemas import RESULTS, Evaluation, Part
from ctsft.utils.errors import UserError, quoted
from ctsft.utils.json_files import parse_json, problem, read_regular, reason_of


def result(run: Run) -> dict:
    """A run's result.json; {} while there is none, or where it cannot be read (`damage` says
    why).
    """
    try:
        return checked_result(run)
    except UserError:
        return {}


def checked_result(run: Run) -> dict:
    """A run's result.json; {} while there is none. UserError, a few words, for what is none of a
    run of this kind.
    """
    try:
        content = parse_json(read_regular(run.file("result.json")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"result.json: {reason_of(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"result.json: {quoted(content)} is not an object")
    try:
        RESULTS.get(run.request.kind, Part).model_validate(content)
    except ValidationError as error:
        raise UserError(f"result.json: {problem(error)}") from None
    return content


def evaluations(run: Run) -> list[dict]:
    """One row an evaluation, by step; a resumed run goes on from the rows that its checkpoint
    held, and one that went back to its last good state has the rows up to there. Rows that are not
    evaluations of the same languages are left out (`damage` says so).
    """
    return history(run)[0]


def history(run: Run) -> tuple[list[dict], str]:
    """`evaluations`, and why a row was left out; "" where none was."""
    rows: dict[int, dict] = {}
    reason = ""
    for row in run.events():
        kind = row.get("kind")
        if kind in ("resumed", "restored"):
            earlier = row.get("history", [])
            wrong = wrong_rows(earlier)
            rows = rows if wrong else {old["step"]: old for old in earlier}
        elif kind == "evaluation" and "accuracy" in row:
            wrong = wrong_rows([row])
            if not wrong:
                rows[row["step"]] = row
        else:
            continue
        reason = reason or wrong
    ordered = [rows[step] for step in sorted(rows)]
    same = [row for row in ordered if row["accuracy"].keys() == ordered[0]["accuracy"].keys()]
    if len(same) < len(ordered):
        reason = reason or "events.jsonl: the evaluations are of different languages"
    return same, reason


def wrong_rows(rows: object) -> str:
    """Why rows are not evaluations; "" where they are."""
    if not isinstance(rows, list):
        return f"events.jsonl: {quoted(rows)} is not a list"
    try:
        for row in rows:
            Evaluation.model_validate(row)
    except ValidationError as error:
        return f"events.jsonl: {problem(error)}"
    return ""


def perplexity_ends(history: list[dict]) -> dict | None:
    """{"texts": name, "rows": their number, "tokens": predicted ones, "before", "after"} of the
    first and the last evaluation; None where none was measured.
    """
    if not history or not history[0].get("perplexity"):
        return None
    name, before = next(iter(history[0]["perplexity"].items()))
    after = history[-1]["perplexity"][name]
    return {
        "texts": name,
        "rows": before["texts"],
        "tokens": before["tokens"],
        "before": before["perplexity"],
        "after": after["perplexity"],
    }
