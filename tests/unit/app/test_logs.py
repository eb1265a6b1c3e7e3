"""What a log line looks like."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog

from tests.fakes.clock import FakeClock
from vso.app.logs import configure
from vso.app.settings import LogFormat, LogLevel
from vso.core.keys import ObjectKey
from vso.core.sensitive import Sensitive


@dataclass(frozen=True)
class Wanted:
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def last(stream: io.StringIO) -> dict[str, object]:
    line: dict[str, object] = json.loads(stream.getvalue().splitlines()[-1])
    return line


def test_a_json_line_begins_with_time_level_logger_and_event(stream: io.StringIO) -> None:
    configure(Wanted(), stream, FakeClock())
    structlog.get_logger("vso.reconcile").info("synced", key=ObjectKey("a", "b"), seconds=0.5)
    assert stream.getvalue() == (
        '{"timestamp":"2026-01-01T12:00:00.000Z","level":"info","logger":"vso.reconcile",'
        '"event":"synced","key":"a/b","seconds":0.5}\n'
    )


def test_what_lies_below_the_level_is_not_written(stream: io.StringIO) -> None:
    configure(Wanted(log_level="warning"), stream)
    log = structlog.get_logger()
    log.info("no")
    log.debug("no")
    assert stream.getvalue() == ""
    log.warning("yes")
    assert last(stream)["event"] == "yes"


def test_fields_bound_for_a_pass_are_on_each_of_its_lines(stream: io.StringIO) -> None:
    configure(Wanted(), stream)
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(pass_id="p1"):
        log.info("within")
        assert last(stream)["pass_id"] == "p1"
    log.info("after")
    assert "pass_id" not in last(stream)


def test_a_line_is_redacted(stream: io.StringIO) -> None:
    configure(Wanted(log_level="debug"), stream)
    structlog.get_logger().debug("read", token="hunter2", value=Sensitive.of("hunter2"), body=b"hunter2")
    assert "hunter2" not in stream.getvalue()


def test_an_exception_becomes_a_traceback_without_values(stream: io.StringIO) -> None:
    configure(Wanted(), stream)
    try:
        int("hunter2"[0:])
    except ValueError:
        structlog.get_logger().exception("bug")
    assert "in test_an_exception_becomes_a_traceback_without_values" in str(last(stream)["traceback"])
    assert "invalid literal" not in stream.getvalue()


def test_other_libraries_are_heard_from_warnings_on(stream: io.StringIO) -> None:
    configure(Wanted(log_level="debug"), stream)
    logging.getLogger("aiohttp").info("chatter")
    assert stream.getvalue() == ""
    logging.getLogger("aiohttp").warning("trouble with %s", "hvs.CAESIJ0123456789abcdefghij")
    assert last(stream)["logger"] == "aiohttp"
    assert last(stream)["event"] == "trouble with ***"


def test_a_console_line_is_for_the_eye(stream: io.StringIO) -> None:
    configure(Wanted(log_format="console"), stream, FakeClock())
    structlog.get_logger().warning("not synced", key=ObjectKey("a", "b"), why="two words", many=[1], left="")
    line = " ".join(stream.getvalue().split())
    assert line == '12:00:00.000 WARNING not synced key=a/b why="two words" many=[1] left=""'


def test_a_terminal_gets_colour_and_a_traceback_of_its_own(stream: io.StringIO) -> None:
    terminal = Terminal()
    configure(Wanted(log_format="console"), terminal)
    structlog.get_logger().error("bug", exc_info=OSError("gone"))
    assert terminal.getvalue().startswith("\x1b[31m")
    assert terminal.getvalue().endswith("\nOSError: gone\n")
    assert stream.getvalue() == ""
