"""A place for a crowd: an operator as in a pod, and Vault behind a proxy that sees and breaks what goes there."""

from __future__ import annotations

from dataclasses import dataclass

from tests.conformance.crowds import Crowd
from tests.testbed.operator import Operator
from tests.testbed.proxy import Proxy


@dataclass(frozen=True)
class Hall:
    """The crowd and the proxy before its Vault."""

    crowd: Crowd
    proxy: Proxy

    @property
    def operator(self) -> Operator:
        """The operator under test."""
        return self.crowd.team.stage.operator

    def restart(self) -> None:
        """Start the operator anew and wait until it is at rest."""
        self.operator.stop()
        self.operator.start()
        self.operator.wait_ready(timeout=60)
