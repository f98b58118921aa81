"""The one kind of error that the user can fix: its text says what came, what was expected and what
to do.
"""

import reprlib

LONGEST_QUOTE = 80  # characters


class UserError(ValueError):
    """Input that cannot be used. Its text is shown unchanged, on the screen and in the shell,
    without a traceback.
    """


def quoted(value: object, longest: int = LONGEST_QUOTE) -> str:
    """What came, as an error's sentence quotes it: its Python spelling in one line, of at most
    `longest` characters. Works for values of any size and depth.
    """
    if isinstance(value, str | bytes):
        text = repr(value[: longest + 1])
    else:
        writer = reprlib.Repr()
        writer.maxlevel, writer.maxlong = 4, longest
        writer.maxstring = writer.maxother = longest
        try:
            text = " ".join(writer.repr(value).split())
        except Exception:  # a value whose own spelling fails
            text = f"a {type(value).__name__}"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def cut(text: object, longest: int = LONGEST_QUOTE) -> str:
    """Text of another origin in one line of at most `longest` characters, without quotation
    marks.
    """
    line = " ".join(str(text)[: 4 * longest].split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
