"""What the rows of a design's task cannot provide is said before anything is computed."""

from ctsft.data.registry import load_task
from ctsft.data.task import Example, Task
from ctsft.jobs.experiment_design import Design
from ctsft.jobs.related_abilities import related_rows, texts_of
from ctsft.jobs.request_parts import Tuning
from ctsft.utils.errors import UserError


def check_rows(design: Design, data_dir: str | None):
    """UserError for a language without rows, for more target rows than there are, and for a related
    task or a file of texts that cannot be read.
    """
    task = load_task(design.task, data_dir)
    for language in (*design.targets, *design.related):
        task.splits(language)
    requested = max(*design.n, *design.choose_n, 1)
    for target in design.targets:
        available = len(target_pool(design, task, task.load(target, "train")))
        if requested > available:
            raise UserError(
                f"n = {requested} was requested, and pool {design.pool} of the train rows"
                f" of {target} holds {available}; choose a smaller n, or set"
                ' "pool": "all".'
            )
    related_rows(Tuning(target="", related_tasks=tuple(design.related_tasks)), "test")
    if design.text is not None:
        texts_of(task, Tuning(target="", perplexity=True, text=design.text), [])


def target_pool(design: Design, task: Task, rows: list[Example]) -> list[Example]:
    """Those of a target's train rows that trials draw from."""
    return rows if design.pool == "all" else task.pools(rows)[1]
