"""Right-to-left text inside left-to-right text.

Put between Unicode direction isolates, it keeps its own order and does not reorder what surrounds
it. Without isolates the "!" of an Arabic sentence jumps to the other end as soon as the sentence
stands in an English line.
"""

import unicodedata

# Unicode's "first strong isolate" and "pop directional isolate"
ISOLATE_START, ISOLATE_END = "\u2068", "\u2069"
RIGHT_TO_LEFT_CLASSES = {"R", "AL", "AN"}


def isolate(text: str) -> str:
    """The same text, between isolates if any character of it runs from right to left."""
    if any(unicodedata.bidirectional(char) in RIGHT_TO_LEFT_CLASSES for char in text):
        return add_isolates(text)
    return text


def add_isolates(text: str) -> str:
    """The text between isolates; a text that already has them stays unchanged."""
    if text[:1] == ISOLATE_START and text[-1:] == ISOLATE_END:
        return text
    return ISOLATE_START + text + ISOLATE_END
