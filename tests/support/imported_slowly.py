"""A module whose import says that it has begun, and then takes longer than any test waits."""

import os
import time
from pathlib import Path

from support.waiting import PATIENCE

if "CTSFT_TEST_BEGUN" in os.environ:
    Path(os.environ["CTSFT_TEST_BEGUN"]).touch()
    time.sleep(5 * PATIENCE)
