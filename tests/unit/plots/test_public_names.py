"""The public charts' names and docstrings."""

import pkgutil
import re
import subprocess
import sys

import pytest

import ctsft
from ctsft import plots


def test_every_public_name_is_there_when_it_is_first_used():
    modules = {module.name for module in pkgutil.iter_modules(plots.__path__)}
    assert not modules & set(plots.__all__), "a module would hide the function of its name"
    assert all(callable(getattr(plots, name)) for name in plots.__all__)
    assert set(plots.__all__) == set(dir(plots)) and "plots" in dir(ctsft)
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        plots.pie  # noqa: B018
    code = (
        "import sys, ctsft\n"
        "import ctsft.jobs.requests, ctsft.jobs.command_line, ctsft.jobs.tuning_table\n"
        "assert 'plotly' not in sys.modules and 'torch' not in sys.modules\n"
        "assert callable(ctsft.plots.head_map)\n"
        "assert 'streamlit' not in sys.modules and 'explorer' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", plots.__all__)
def test_every_docstring_says_what_it_takes_and_its_errors(name):
    text = getattr(plots, name).__doc__
    assert "UserError" in text and "`" in text
    assert not re.search(r"\bmove[ds]?\b", text)
