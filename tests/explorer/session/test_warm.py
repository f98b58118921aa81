"""What the imports behind the first screen leave behind."""

import gc

from explorer.session import warm


def test_the_collector_no_longer_looks_through_the_libraries():
    gc.unfreeze()
    try:
        before = len(gc.get_objects())
        assert before > 100_000, "the libraries are imported"
        warm.leave_to_the_end()
        assert len(gc.get_objects()) < before / 10
    finally:
        gc.freeze()  # as the tests began
