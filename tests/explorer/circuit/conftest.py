"""The view of this folder's tests."""

import pytest


@pytest.fixture
def view(circuit_view):
    return circuit_view


@pytest.fixture
def task_file(circuit_task):
    return circuit_task
