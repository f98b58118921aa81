"""Every job from the shell: `python -m ctsft
accuracy|estimate|score|discover|faithfulness|validate|finetune|compare|runs|cache`.

Long jobs write a run folder, print where, and may be stopped, watched and resumed from anywhere.
Progress goes to stderr, results to stdout (`--json` for machines). Exit codes: 0 done, 1 failed or
stopped, 2 wrong input (one line says what to do).
"""

import sys

from ctsft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
