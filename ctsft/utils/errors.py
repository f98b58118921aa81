"""The one kind of error that the user can fix: its text says what came, what was expected and what
to do.
"""


class UserError(ValueError):
    """Input that cannot be used. Its text is shown unchanged, on the screen and in the shell,
    without a traceback.
    """
