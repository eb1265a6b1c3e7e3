"""Performs the story: starts the children, acts, looks until it has come true, and tidies up.

Invariant: every wait has a deadline and notices a child that died or a reader who has seen enough;
a failure names its step, what was missing, and shows the operator's last words.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vso.api.yaml_text import to_yaml
from vso.app import rbac
from vso.app.demo import example
from vso.app.demo.board import Board, Standing, View
from vso.app.demo.children import Child, Command
from vso.app.demo.hints import hints_for
from vso.app.demo.picture import Picture
from vso.app.demo.story import STORY, Step
from vso.app.demo.world import Access, World
from vso.core.clock import Clock
from vso.core.errors import VsoError

_SERVERS: Final = "An API server and a Vault, in one process"
_OPERATOR: Final = "The operator, with the rights of its ServiceAccount and no others"
_LOOK: Final = 0.1
_DEADLINE: Final = 30.0


class StoppedError(Exception):
    """The reader has seen enough."""


class MissingError(Exception):
    """A step did not come true; the message says what is missing."""


@dataclass(frozen=True)
class Manner:
    """How the story is told."""

    directory: Path
    once: bool
    """End when the story does, and hurry."""

    @property
    def pause(self) -> float:
        """Seconds between steps, for the eye."""
        return 0.0 if self.once else 1.5


class Play:
    """One performance."""

    def __init__(self, manner: Manner, view: View, clock: Clock, stop: asyncio.Event) -> None:
        self._manner = manner
        self._view = view
        self._clock = clock
        self._stop = stop
        self._board = Board.of([_SERVERS, _OPERATOR, *(step.title for step in STORY)])
        self._children: list[Child] = []
        self._stack = AsyncExitStack()

    async def run(self) -> int:
        """Perform; returns the exit code of the command."""
        async with AsyncExitStack() as stack:
            self._stack = stack
            try:
                await self._perform()
            except StoppedError:
                return 0 if self._board.passed else 130
            except (MissingError, VsoError) as error:
                self._failed(str(error))
                return 1
        return 0

    async def _perform(self) -> None:
        world = await self._start_servers()
        await self._start_operator(world)
        for number, step in enumerate(STORY, start=2):
            if await self._clock.wait(self._stop, self._manner.pause):
                raise StoppedError
            await self._step(number, step, world)
        self._end(world)
        while not self._manner.once:
            self._show(picture=await self._look(world))

    async def _start_servers(self) -> World:
        ready = self._manner.directory / "ready.json"
        ready.unlink(missing_ok=True)
        began = self._begin(0)
        await self._start("sandbox", "vso.sandbox", "--dir", str(self._manner.directory))
        await self._until(ready.exists, began, "it has not said where it is")
        world = await self._stack.enter_async_context(World(Access.read(ready), self._clock))
        access = world.access
        self._done(0, began, f"{access.kube_url} and {access.vault_url}", await world.look())
        return world

    async def _start_operator(self, world: World) -> None:
        began = self._begin(1)
        for found in example.operator():
            await world.apply(found)
        path = self._manner.directory / "operator.kubeconfig"
        _write_kubeconfig(path, world.access, await world.operator_token())
        addresses = ("--metrics-bind-address=0", "--health-probe-bind-address=0")
        flags = ("--secrets-access=full", "--log-format=console", *addresses)
        await self._start("operator", "vso", "run", f"--kubeconfig={path}", *flags)
        await self._see(world, began, lambda now: "" if now.leader else "it does not lead yet")
        self._done(1, began, "roles as in manifests/rbac/full", self._board.picture)

    async def _step(self, number: int, step: Step, world: World) -> None:
        began, before = self._begin(number), self._board.picture
        if step is STORY[0]:
            objects = example.intent(world.access.vault_url)
            text = "---\n".join(to_yaml(found) for found in objects)
            (self._manner.directory / "example.yaml").write_text(text, encoding="utf-8")
        await step.act(world)
        await self._see(world, began, lambda now: step.missing(before, now))
        self._done(number, began, step.outcome(self._board.picture), self._board.picture)

    async def _see(self, world: World, began: float, missing: Callable[[Picture], str]) -> None:
        """Look until nothing is missing."""
        while lacking := missing(await self._shown(world)):
            await self._wait(began, lacking)

    async def _shown(self, world: World) -> Picture:
        picture = await world.look()
        self._show(picture=picture)
        return picture

    async def _until(self, holds: Callable[[], bool], began: float, lacking: str) -> None:
        while not holds():
            await self._wait(began, lacking)

    async def _wait(self, began: float, lacking: str) -> None:
        self._check_children()
        if self._clock.monotonic() - began > _DEADLINE:
            raise MissingError(f"after {_DEADLINE:.0f} s {lacking}")
        if await self._clock.wait(self._stop, _LOOK):
            raise StoppedError

    async def _look(self, world: World) -> Picture:
        self._check_children()
        if await self._clock.wait(self._stop, 5 * _LOOK):
            raise StoppedError
        return await world.look()

    def _check_children(self) -> None:
        for child in self._children:
            if not child.running:
                raise MissingError(f"the {child.command.name} has ended by itself")

    async def _start(self, name: str, module: str, *args: str) -> None:
        directory = self._manner.directory
        command = Command(name, module, args, directory / f"{name}.log", {"OPERATOR_NAMESPACE": rbac.NAMESPACE})
        self._children.append(await self._stack.enter_async_context(Child(command)))

    def _begin(self, number: int) -> float:
        self._board = self._board.at(number, Standing.RUNNING)
        self._show()
        return self._clock.monotonic()

    def _done(self, number: int, began: float, detail: str, picture: Picture) -> None:
        seconds = self._clock.monotonic() - began
        self._board = self._board.at(number, Standing.DONE, seconds=seconds, detail=detail)
        if not self._board.passed:  # else the end is shown together with what can be done next
            self._show(picture=picture)

    def _end(self, world: World) -> None:
        farewell = "It all came true." if self._manner.once else "It all came true, and goes on. Ctrl-C tidies up."
        hints = () if self._manner.once else hints_for(world.access, self._manner.directory)
        self._board = replace(self._board, farewell=farewell, hints=hints)
        self._show()

    def _failed(self, why: str) -> None:
        numbers = [n for n, line in enumerate(self._board.lines) if line.standing is Standing.RUNNING]
        for number in numbers:
            self._board = self._board.at(number, Standing.FAILED, detail=why)
        tail = [line for child in self._children[-1:] for line in (f"{child.command.name}:", *child.log_tail())]
        self._board = replace(self._board, farewell="\n".join([f"It did not come true: {why}", *tail]))
        self._show()

    def _show(self, picture: Picture | None = None) -> None:
        if picture is not None:
            self._board = replace(self._board, picture=picture)
        self._view.show(self._board)


def _write_kubeconfig(path: Path, access: Access, token: str) -> None:
    cluster = {"server": access.kube_url, "certificate-authority": str(access.ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": cluster}],
        "users": [{"name": rbac.NAME, "user": {"token": token}}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": rbac.NAME}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
