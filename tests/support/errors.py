"""A refusal, as every test expects it."""

import pytest

from ctsft.utils.errors import UserError


def said(call, *words):
    """The call is refused with one sentence that holds these words."""
    with pytest.raises(UserError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and all(word in text for word in words), text
