"""Text of unknown origin as Markdown that shows it letter by letter."""

import re

from ctsft.utils.right_to_left import isolate


def literal(text: str) -> str:
    """Foreign text inside Markdown, shown as it is: escaped, and addresses parted by a sign without
    width, since Streamlit makes links of them.
    """
    parted = re.sub(r"(?i)(https?:(?=//)|www(?=\.)|@)", "\\1\u2060", " ".join(str(text).split()))
    return isolate(re.sub(r"([\\`*_{}\[\]()#+\-.!|:$~<>&])", r"\\\1", parted))


def short(count: int) -> str:
    """2_310_144 -> "2.3 M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
