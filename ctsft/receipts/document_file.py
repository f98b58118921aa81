"""Receipts in Markdown documents: a comment of one line before the figures that it covers,

    <!-- receipt: {"command": "...", "run": "...", "rows": "...", "seed": "...", "model": "...",
         "interval": "...", "derive": "...", "data": "...", "needs": "...", "numbers": "..."} -->

It covers everything up to the next receipt or heading. `derive` names a way of computing the
figures of the next table again (`document_claims`), from the file or folder `data`, relative to the
document; where there is none, `needs` says what a computation would take. `numbers` is a hash of
the numbers that it covers (`stamped` writes it), so that a changed one is found without computing.
"""

import hashlib
import re
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from ctsft.utils.errors import UserError, cut
from ctsft.utils.json_files import checked, parse_json

COMMENT = re.compile(r"^<!-- receipt: (\{.*\}) -->$")
HEADING = re.compile(r"^#{1,6} ")
FENCE = re.compile(r"^\s*(```|~~~)")
# a number of a text, not of a name (SmolLM2, L2.H3, x86) or an address
NUMBER = re.compile(r"(?<![\w.])[+\-−]?(?:\d[\d,]*)?\.?\d+(?:[eE][+\-−]?\d+)?")
RESULT = re.compile(r"(?<![\w.])[+\-−]?\d*\.\d+(?!\.\d)")  # with decimals
CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
ADVICE = "write it as docs/receipts.md says"


class DocumentReceipt(BaseModel):
    """The content of a comment."""

    model_config = ConfigDict(extra="forbid")
    command: str
    run: str
    rows: str
    seed: str
    model: str
    interval: str
    derive: str = ""
    data: str = ""
    needs: str = ""
    numbers: str = ""


@dataclass
class Part:
    """Lines of a document and the receipt that covers them; None: none does. line: the number of
    the first one, from 1.
    """

    receipt: DocumentReceipt | None
    lines: list[str]
    line: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def numbers(self) -> list[str]:
        return NUMBER.findall(self.text)

    @property
    def results(self) -> list[str]:
        return RESULT.findall(self.text)

    @property
    def bare_results(self) -> list[str]:
        """Those outside of code in a line, which holds settings."""
        return RESULT.findall(CODE.sub("", self.text))

    @property
    def digest(self) -> str:
        return hashlib.sha256(" ".join(self.numbers).encode()).hexdigest()[:16]

    def table(self) -> list[list[str]]:
        """The cells of its first table, head and rule left out."""
        rows, begun = [], False
        for line in self.lines:
            if line.startswith("|"):
                begun = True
                rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            elif begun:
                break
        return rows[2:]

    def head(self) -> list[str]:
        """The cells of the head of its first table."""
        for line in self.lines:
            if line.startswith("|"):
                return [cell.strip() for cell in line.strip().strip("|").split("|")]
        return []


def parts_of(text: str, name: str) -> list[Part]:
    """A document in parts. UserError for a receipt that cannot be read."""
    parts = [Part(None, [], 1)]
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        if match := COMMENT.match(line):
            parts.append(Part(receipt_in(match[1], f"{name}, line {number}"), [], number + 1))
            continue
        if HEADING.match(line) and not fenced:
            parts.append(Part(None, [], number))
        parts[-1].lines.append(line)
    return parts


def receipt_in(text: str, where: str) -> DocumentReceipt:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UserError(
            f"The receipt in {where} cannot be read ({cut(error)}); {ADVICE}."
        ) from None
    return checked(content, DocumentReceipt, f"The receipt in {where}", ADVICE)


def stamped(text: str, name: str) -> str:
    """The document with the hash of the numbers in each receipt."""
    lines = text.splitlines()
    for part in parts_of(text, name):
        if part.receipt:
            receipt = part.receipt.model_copy(update={"numbers": part.digest})
            content = receipt.model_dump_json(exclude_defaults=True)
            lines[part.line - 2] = f"<!-- receipt: {content} -->"
    return "\n".join(lines) + "\n"
