"""Write the hashes of the numbers into the receipts of the documents, after a figure was measured
again:

    python docs/stamp_receipts.py docs/results/*.md examples/nusax.results.md
"""

import sys
from pathlib import Path

from ctsft.receipts.document_file import stamped


def main(names: list[str]):
    for name in names:
        path = Path(name)
        path.write_text(stamped(path.read_text(encoding="utf-8"), name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
