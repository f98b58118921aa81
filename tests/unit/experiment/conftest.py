"""Short names of fixtures for this folder's tests."""

import pytest


@pytest.fixture(scope="session")
def words(experiment_words):
    return experiment_words
