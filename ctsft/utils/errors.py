"""The one kind of error that is the user's to mend: a sentence that says what came, what was
expected and what to do.
"""


class UserError(ValueError):
    """Input that cannot be used. Its text is shown as it is, on screen and in the shell, without a
    traceback.
    """
