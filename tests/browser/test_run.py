"""A tuning run in a real browser: started, stopped with what it has, gone on with, and discarded
only after a question.
"""

from benchmarks.browser import go, settle, visitor
from ctsft.runs.folder import Run


def until(page, run: Run, *states: str) -> str:
    """Waits for one of the states, and gives it."""
    for _ in range(600):
        if run.status().state in states:
            break
        page.wait_for_timeout(250)
    assert run.status().state in states, run.status()
    return run.status().state


def test_a_run_is_started_stopped_resumed_and_discarded(program, address, shared_home):
    page = visitor(program)
    page.goto(address)
    page.get_by_role("heading", name="Setup", exact=True).wait_for()
    settle(page)
    go(page, "Fine-tune")
    before = set(shared_home.glob("runs/*-finetune-*"))
    page.get_by_role("button", name="Start tuning").click()
    keep = page.get_by_role("button", name="Stop and keep")
    keep.wait_for()
    run = Run((set(shared_home.glob("runs/*-finetune-*")) - before).pop())
    until(page, run, "running")
    for _ in range(600):
        # into the steps, so that there is something to keep
        if any(row.get("step", 0) > 0 for row in run.events()) or not run.status().active:
            break
        page.wait_for_timeout(100)
    keep.click()
    until(page, run, "stopped")
    settle(page)

    page.get_by_role("button", name="Resume").click()
    until(page, run, "queued", "running")
    page.get_by_role("button", name="Discard", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Discard it").wait_for()
    assert run.path.is_dir(), "nothing is discarded before the answer"
    page.get_by_role("dialog").get_by_role("button", name="Discard it").click()
    page.wait_for_function("() => !document.querySelector('[role=dialog]')")
    for _ in range(100):
        if not run.path.exists():
            break
        page.wait_for_timeout(200)
    assert not run.path.exists() and page.errors == []
    page.context.close()
