"""The names in the braces of prompts and file patterns: plain names only.

Python's format language could do more: widths (`{text:>1000000000}` fills the memory), conversions
(`{text!r}`), attributes and positions (`{text.__class__}`, `{0}`). All of it is refused.
"""

from string import Formatter

from ctsft.utils.errors import UserError, quoted

LABEL = "label"  # the column of the answers, in every table


def plain_names(pattern: str) -> list[str]:
    """The names in braces, in order, "" for empty braces. ValueError where braces do not close, or
    hold anything but a name.
    """
    names = []
    for _, name, width, conversion in Formatter().parse(pattern):
        if name is None:
            continue
        if width or conversion or not (name.isidentifier() or name == ""):
            shown = name + (f"!{conversion}" if conversion else "") + (f":{width}" if width else "")
            raise ValueError(f"{{{shown}}} is not a plain name")
        names.append(name)
    return names


def placeholders(prompt: str) -> list[str]:
    """The columns that a prompt names. UserError where it names none, or the label's; for braces
    that do not close, and for braces that hold anything but a name.
    """
    try:
        names = plain_names(prompt)
    except ValueError as error:
        why = f"{quoted(str(error))[1:-1]}"
        raise UserError(
            f"The prompt {quoted(prompt)} cannot be read ({why}); write columns as {{text}}."
        ) from None
    if not names or not all(names):
        raise UserError(
            f"The prompt {quoted(prompt)} names no column; write at least one, such as {{text}}, in"
            " braces."
        )
    if LABEL in names:
        raise UserError(
            f"The prompt {quoted(prompt)} names {{{LABEL}}}, the label itself, which the model is"
            " to answer; remove it from the prompt."
        )
    return names
