"""Text of unknown origin as Markdown that shows it letter by letter."""

import re

from ctsft.utils.right_to_left import isolate


def literal(text: str) -> str:
    """Foreign text inside Markdown, shown as it is: escaped, and addresses parted by a sign without
    width, since Streamlit makes links of them.
    """
    return isolate(re.sub(r"([\\`*_{}\[\]()#+\-.!|:$~<>&])", r"\\\1", parted(text)))


def literal_sentence(text: str) -> str:
    """A whole sentence with foreign text in it, such as an error's, shown as it is: escaped where a
    sign would be Markdown. Marks of punctuation stay as they are.
    """
    line = re.sub(r"([\\`*\[\]$~<])", r"\\\1", parted(text))
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\_", line)  # not inside a word
    line = re.sub(r":(?=[^\s\\])", r"\:", line)  # :red[, :material/
    line = re.sub(r"&(?=[#\w])", r"\&", line)
    return re.sub(r"^([#+\-=>]|\d+(?=[.)]))", escaped_start, line)  # a heading, a list, a quotation


def escaped_start(match: re.Match) -> str:
    sign = match[0]
    return f"{sign}\u2060" if sign.isdigit() else f"\\{sign}"


def parted(text: str) -> str:
    """One line, in which no address is a link for Streamlit."""
    return re.sub(r"(?i)(https?:(?=//)|www(?=\.)|@)", "\\1\u2060", " ".join(str(text).split()))


def short(count: int) -> str:
    """2_310_144 -> "2.3 M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
