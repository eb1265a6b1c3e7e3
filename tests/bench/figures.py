"""The table at the end of the run: what a thing costs here, beside the reference operator.

The reference's figures are those of version 1.4.1, measured on real servers (kube-apiserver 1.36.3,
Vault 1.21.0) on two cores. Invariant: counts and bytes are gates, asserted by the test that notes
them; times and resident memory depend on the machine and are shown only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    case: str
    reference: str
    here: str
    bound: str
    """The gate, or the wish where the figure is informative."""
    gate: bool


@dataclass
class Figures:
    """What the tests have found out so far."""

    lines: list[Figure] = field(default_factory=list)

    def gate(self, case: str, here: str, bound: str, reference: str = "") -> None:
        """Note a figure that decides."""
        self.lines.append(Figure(case, reference, here, bound, gate=True))

    def inform(self, case: str, here: str, bound: str = "", reference: str = "") -> None:
        """Note a figure that only informs."""
        self.lines.append(Figure(case, reference, here, bound, gate=False))

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="What it costs", title_justify="left")
        for name in ("case", "the reference", "here", "wanted", ""):
            table.add_column(name)
        for line in self.lines:
            table.add_row(line.case, line.reference, line.here, line.bound, "gate" if line.gate else "informative")
        console.print()
        console.print(table)
