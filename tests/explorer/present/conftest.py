"""The view of this folder's tests."""

import pytest


@pytest.fixture
def view(finetune_view):
    return finetune_view
