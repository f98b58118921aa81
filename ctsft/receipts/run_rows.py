"""The rows that a run used, as rows of the task of this machine."""

from ctsft.data.task import Example
from ctsft.jobs.tuning_rows import training_rows
from ctsft.receipts.evidence import NotRecomputable, StoredRun
from ctsft.utils.errors import UserError
from ctsft.utils.json_files import parse_json, read_regular


def rows_named(run: StoredRun, name: str) -> list[Example]:
    """The rows that a job fingerprinted under a name."""
    request = run.request
    if request.kind == "finetune":
        if name == "train":
            return train_rows(run)
        if name in run.task.languages:
            return run.rows(name, request.tuning.eval_split)
    if name == "pool" and run.run.file("pool.json").is_file():
        return pool_rows(run)
    if name == "rows" and request.kind == "faithfulness":
        return run.rows(run.source, request.subject.split)
    raise NotRecomputable(f"how the rows {name!r} were drawn is not stored")


def pool_rows(run: StoredRun) -> list[Example]:
    """The discovery set of a run, as the task's rows with the stored ids."""
    stored = stored_pool(run)
    rows = {row.id: row for row in run.rows(run.source, run.request.subject.split)}
    if any(one["id"] not in rows for one in stored):
        raise NotRecomputable("the discovery set has rows that the task of this machine lacks")
    return [rows[one["id"]] for one in stored]


def stored_pool(run: StoredRun) -> list[dict]:
    try:
        return parse_json(read_regular(run.run.file("pool.json")))
    except (OSError, ValueError) as error:
        raise NotRecomputable(f"pool.json cannot be read ({error})") from None


def train_rows(run: StoredRun) -> list[Example]:
    request = run.request
    try:
        return training_rows(
            run.task, run.source, request.subject.split, request.tuning, request.config.seed
        )
    except UserError as error:
        raise NotRecomputable(f"needs the rows of the task: {error}") from None


def rows_by_id(run: StoredRun, ids: list[str]) -> list[Example]:
    rows = {row.id: row for row in run.rows(run.source, run.request.subject.split)}
    if any(one not in rows for one in ids):
        raise NotRecomputable("the task of this machine lacks some of these rows")
    return [rows[one] for one in ids]
