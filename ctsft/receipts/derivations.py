"""Figures of a list of nodes, computed again from evidence, each once.

A derivation is an operation (`operations`) and its arguments (`ctsft.utils.figures`); `intervals`
has the interval of each.
"""

from collections.abc import Sequence

from ctsft.receipts.evidence import Evidence, NotRecomputable
from ctsft.receipts.intervals import INTERVALS, NO_INTERVAL, interval_text
from ctsft.receipts.operations import OPERATIONS, over
from ctsft.utils.figures import Node
from ctsft.utils.statistics import FEWEST


class Derivations:
    """Figures of a list of nodes, computed again from evidence, each once."""

    def __init__(self, nodes: Sequence[Node], evidence: Evidence):
        self.nodes, self.evidence = nodes, evidence
        self._values: dict[int, float] = {}

    def value(self, number: int) -> float:
        """NotRecomputable where stored files are missing, ValueError for a derivation that is
        none. A node is derived from earlier ones only.
        """
        if number not in self._values:
            node = self.nodes[number]
            if node.operation not in OPERATIONS:
                raise ValueError(f"{node.operation!r} is not a derivation")
            value = OPERATIONS[node.operation](self.evidence, *self._arguments(number))
            self._values[number] = value if isinstance(value, tuple) else float(value)
        return self._values[number]

    def runs(self, number: int) -> list[str]:
        """The ids of the runs that a figure rests on."""
        return list(dict.fromkeys(self._runs(number)))

    def _runs(self, number: int):
        node = self.nodes[number]
        for place, one in enumerate(node.arguments):
            if isinstance(one, tuple):
                yield from self._runs(one[1])
            elif isinstance(one, str) and place < RUN_ARGUMENTS.get(node.operation, 1):
                yield one

    def _arguments(self, number: int) -> list:
        given = []
        for one in self.nodes[number].arguments:
            if not isinstance(one, tuple):
                given.append(one)
            elif one[1] >= number:
                raise ValueError("a figure is derived from a later one")
            else:
                given.append(self.value(one[1]))
        return given

    def interval(self, number: int) -> str:
        """The figure's interval at 95 %, or why it has none."""
        node = self.nodes[number]
        try:
            if node.operation in ("mean", "negative") and self._of_several(number):
                low, high = self._mean_interval(number)
                return interval_text(low, high, "Student's t over runs")
            rule = INTERVALS.get(node.operation)
            if rule is None:
                return "none: " + NO_INTERVAL.get(node.operation, "computed exactly from its runs")
            return rule(self.evidence, *self._arguments(number))
        except NotRecomputable as error:
            return f"none: {error}"

    def _of_several(self, number: int) -> bool:
        node = self.nodes[number]
        if node.operation == "negative":
            inner = node.arguments[0]
            return isinstance(inner, tuple) and self._of_several(inner[1])
        return len(node.arguments) >= FEWEST

    def _mean_interval(self, number: int) -> tuple[float, float]:
        node = self.nodes[number]
        if node.operation == "negative":
            low, high = self._mean_interval(node.arguments[0][1])
            return -high, -low
        interval = over(tuple(self._arguments(number)))
        return interval.low, interval.high


# how many of an operation's texts are ids of runs
RUN_ARGUMENTS = {"only": 2, "p_between": 2}
