"""Every job from the shell: `python -m ctsft
accuracy|estimate|score|discover|faithfulness|validate|finetune|compare|runs|cache`.

Long jobs write a run folder, print where, and may be stopped, watched and resumed from anywhere.
Progress goes to stderr, results to stdout (`--json` for machines). Exit codes: 0 done, 1 failed or
stopped, 2 wrong input (one line says what to do). Ctrl-C and a closed terminal stop a job at any
moment, also while its libraries are imported.
"""

import gc
import signal
import sys


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def entry(arguments: list[str] | None = None) -> int:
    """Exit code of the shell's command; the arguments are by default those of this process."""
    # torch and transformers leave a million objects that stay: looking through them as often as by
    # default takes a tenth of a short command's time
    gc.set_threshold(100_000, 50, 50)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup and signal.getsignal(hangup) is signal.SIG_DFL:  # `nohup` ignores it
        signal.signal(hangup, interrupt)
    try:
        from ctsft.cli.main import main

        return main(arguments)
    except KeyboardInterrupt:
        print("ctsft: Interrupted; what was saved by then remains.", file=sys.stderr)
        return 1
    finally:
        # nothing is left to interrupt: no traceback from the interpreter's last steps
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(entry())
