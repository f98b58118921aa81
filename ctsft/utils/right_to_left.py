"""Right-to-left text among left-to-right words: put between direction isolates, it keeps its own
order and turns nothing around it.

Without them the "!" of an Arabic sentence jumps to its other end as soon as the sentence stands in
an English line.
"""

import unicodedata

# Unicode: first strong isolate, pop directional isolate
ISOLATE, END = "\u2068", "\u2069"
LEFTWARD = {"R", "AL", "AN"}


def isolate(text: str) -> str:
    """The same text, between isolates if any of it runs from right to left."""
    return (
        fence(text) if any(unicodedata.bidirectional(char) in LEFTWARD for char in text) else text
    )


def fence(text: str) -> str:
    """Between isolates, once."""
    return text if text[:1] == ISOLATE and text[-1:] == END else ISOLATE + text + END
