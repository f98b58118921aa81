"""What axe-core calls serious or critical of a page."""

import json

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def faults(page: Page) -> list[str]:
    """A line for each serious or critical violation, with the first elements that show it."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}:"
        f" {json.dumps([node['html'][:200] for node in one['nodes'][:3]])}"
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]
