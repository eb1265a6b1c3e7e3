"""What is read of a Containerfile, what stays out of its context, and what is refused."""

from __future__ import annotations

import pytest

from tests.testbed.containerfile import Context, Copy, Run, Unsupported, parse

TEXT = """\
# A comment.
ARG BASE=python:3
FROM ${BASE} AS build
ENV A=1 B="two words"
WORKDIR /src
COPY one two there/
RUN do this \\
 && do that
FROM $BASE
COPY --from=build /opt/x /opt/x
ENV PATH=/opt/x/bin:$PATH
USER 1:2
EXPOSE 80 81
ENTRYPOINT ["x", "run"]
"""


def test_stages_steps_and_the_final_configuration_are_read() -> None:
    build, final = parse(TEXT, {"PATH": "/bin"})
    env = {"PATH": "/bin", "A": "1", "B": "two words"}
    assert (build.base, build.name) == ("python:3", "build")
    assert build.steps == (Copy(("one", "two"), "/src/there/"), Run("do this   && do that", "/src", env))
    assert (final.base, final.name, final.steps) == ("python:3", "", (Copy(("/opt/x",), "/opt/x", "build"),))
    config = final.config
    assert (config.user, config.entrypoint, config.ports) == ("1:2", ("x", "run"), (80, 81))
    assert config.env == {"PATH": "/opt/x/bin:/bin"}


@pytest.mark.parametrize(
    "line", ["HEALTHCHECK CMD x", "COPY --chown=1 a b", "ENTRYPOINT x run", "VOLUME /x", "what is this"]
)
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(Unsupported):
        parse(f"FROM x\n{line}\n", {})


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("vso/api/x.py", True),
        ("vso/api/x.pyc", False),
        ("vso/__pycache__/x.py", False),
        ("README.md", True),
        ("requirements/run.txt", True),
        ("requirements/dev.txt", False),
        (".git/config", False),
        ("vsomething/x", False),
    ],
)
def test_the_last_rule_that_fits_decides_what_is_in_the_context(path: str, kept: bool) -> None:
    ignore = "# all\n*\n!README.md\n!requirements/run.txt\n!vso\n**/__pycache__\n**/*.py[co]\n"
    assert Context(ignore).has(path) is kept


@pytest.mark.parametrize("pattern", ["a/**/b", "**/a/b"])
def test_a_pattern_that_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(Unsupported):
        Context(pattern).has("a/x/b")
