"""Writes docs/api.md: every public name of `ctsft` and `ctsft.plots` with its signature and the
first paragraph of its docstring.

python docs/generate_api.py
"""

import inspect
from pathlib import Path

import ctsft
from ctsft import plots

PAGE = Path(__file__).with_name("api.md")
INTRODUCTION = """# Public names

Written by `python docs/generate_api.py`. Every name stands in `ctsft` itself: `import ctsft`.
Inner modules may change; these names do not without a line in the changes.
"""


def entry(prefix: str, name: str, value: object) -> str:
    """A name with its signature and the first paragraph of its docstring, as Markdown."""
    if isinstance(value, dict):  # a table
        return f"- **`{prefix}.{name}`** A dictionary: {', '.join(map(str, value))}."
    paragraph = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    signature = ""
    if inspect.isfunction(value):
        names = inspect.signature(value).parameters.values()
        signature = f"({', '.join(str(one).split(':')[0].split('=')[0] for one in names)})"
    return f"- **`{prefix}.{name}{signature}`** {paragraph}"


def page() -> str:
    library = [entry("ctsft", name, getattr(ctsft, name)) for name in ctsft.__all__]
    figures = [entry("ctsft.plots", name, getattr(plots, name)) for name in plots.__all__]
    parts = [INTRODUCTION, "## ctsft\n", *library, "\n## ctsft.plots\n", *figures]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
