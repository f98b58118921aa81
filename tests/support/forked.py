"""What forked jobs of the tests do."""

import os
import sys
import time


def report(arguments: list[str]) -> int:
    print("arguments", arguments)
    print("folder", os.getcwd())
    print("home", os.environ.get("CTSFT_HOME"))
    print("session of its own", os.getsid(0) == os.getpid())
    sys.stdout.flush()
    print("to stderr", file=sys.stderr)
    return 0


def wait(arguments: list[str]) -> int:
    time.sleep(120)
    return 0
