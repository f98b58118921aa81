"""Texts of the pages as the HTML report needs them: without Markdown."""

import re

from explorer.text.run_names import display_name


def plain(sentence: str) -> str:
    """A sentence that was written for Markdown, without its escapes."""
    return re.sub(r"\\(.)", r"\1", sentence)


def plain_name(name: str) -> str:
    """The name of a language or a run in a sentence."""
    return plain(display_name(name))
