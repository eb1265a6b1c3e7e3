"""The set-up of logging: structlog to one stream, JSON or for the eye, times in RFC 3339 and UTC.

Invariant: every line, those of other libraries included, passes `vso.app.redaction` right before it
is written; a line below the level costs one call that does nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Protocol, TextIO

import orjson
import structlog

from vso.app.redaction import describe, redact
from vso.app.settings import LogFormat, LogLevel
from vso.core.clock import Clock, SystemClock

Event = MutableMapping[str, Any]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_COLOURS: Final = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"


class LogSettings(Protocol):
    """The part of the settings that logging needs."""

    @property
    def log_level(self) -> LogLevel:
        """The least level that is written."""
        ...

    @property
    def log_format(self) -> LogFormat:
        """How a line looks."""
        ...


def configure(settings: LogSettings, stream: TextIO, clock: Clock | None = None) -> None:
    """Send every logger's lines to the stream; later calls replace earlier ones."""
    level = _LEVELS[settings.log_level]
    render = _json if settings.log_format == "json" else _Console(colour=stream.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _name,
            structlog.processors.add_log_level,
            _Timestamp(clock or SystemClock()),
            _exception,
            redact,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Factory(stream),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_library(level)


class _Logger(structlog.PrintLogger):
    """A writer of lines that knows what it is called."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self.name = name


class _Factory:
    """Makes a writer for the name that get_logger was given."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, *args: object) -> _Logger:
        return _Logger(self._stream, str(args[0]) if args else "vso")


class _Timestamp:
    """Adds the wall time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        event["timestamp"] = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return event


def _name(logger: object, _method: str, event: Event) -> Event:
    event.setdefault("logger", getattr(logger, "name", "vso"))
    return event


def _exception(_logger: object, _method: str, event: Event) -> Event:
    """Turn exc_info into text; an exception in a field of its own is left to the redaction."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        event["traceback"] = describe(given)
    return event


def _json(_logger: object, _method: str, event: Event) -> str:
    head = {name: event.pop(name) for name in ("timestamp", "level", "logger", "event") if name in event}
    return orjson.dumps({**head, **event}, option=orjson.OPT_NON_STR_KEYS).decode()


class _Console:
    """One line for the eye: time, level, event, then the fields."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _logger: object, _method: str, event: Event) -> str:
        when, level, what = (str(event.pop(name, "")) for name in ("timestamp", "level", "event"))
        trace = event.pop("traceback", "")
        event.pop("logger", None)
        fields = "  ".join(f"{name}={_shown(value)}" for name, value in event.items())
        line = f"{when[11:23]} {level.upper():<7} {what:<28} {fields}".rstrip()
        if self._colour and level in _COLOURS:
            line = f"{_COLOURS[level]}{line}{_PLAIN}"
        return f"{line}\n{trace}" if trace else line


def _shown(value: object) -> str:
    # Quoted where blanks or line ends would blur where one field stops and the next begins.
    if isinstance(value, str):
        return value if value and value.isprintable() and " " not in value else orjson.dumps(value).decode()
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


class _Adopted(logging.Handler):
    """Passes the standard library's records on; ours go the direct way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as any other line."""
        log = structlog.get_logger(record.name)
        log.log(max(record.levelno, logging.DEBUG), record.getMessage(), exc_info=record.exc_info)


def _adopt_standard_library(level: int) -> None:
    # Other libraries speak up only when something is wrong: their chatter may quote requests.
    root = logging.getLogger()
    root.handlers[:] = [_Adopted()]
    root.setLevel(max(level, logging.WARNING))
