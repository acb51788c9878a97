"""What the pages say to type is what the program takes, and their links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ds01ctl.commandline import build
from ds01ctl.errors import UsageError

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM: Any = typer.main.get_command(build([]))
# the base class of what a wrong command line raises, in every typer that is allowed
WRONG: Any = typer.BadParameter.__mro__[1]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_PROMPT = re.compile(r"[$#] (ds01ctl .*)")
_PLAIN = re.compile(r"(ds01ctl .*)")
_UNIT = re.compile(r"Exec\w+=\S*/(ds01ctl .*)")
_COMMAND_LINES = {"console": _PROMPT, "sh": _PLAIN, "ini": _UNIT}
# with two words at least: `ds01ctl detect` alone is also the name of a source of events
_INLINE = re.compile(r"`(ds01ctl [a-z]+ [^`]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """Find the commands of ours that a page tells to type; a console's other lines are output."""
    yield from _INLINE.findall(_BLOCK.sub("", text))
    for language, block in _BLOCK.findall(text):
        pattern = _COMMAND_LINES.get(language)
        lines = block.replace("\\\n", " ").splitlines()
        matches = (pattern.fullmatch(line.strip()) for line in lines) if pattern else ()
        yield from (match[1] for match in matches if match)


def words(command: str) -> list[str]:
    """Split as a shell does, up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if set(word) <= set(";|&<>()"):
            break
        found.append(word)
    return found


def problem(command: str) -> str | None:
    """Say what the command line does not take; nothing is run."""
    _, *rest = words(command)
    found = PROGRAM
    while hasattr(found, "commands") and rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in found.commands:
            return f"no command {name}"
        found = found.commands[name]
    try:
        _parse(found, rest)
    except (UsageError, WRONG) as error:
        return str(error)
    except typer.Exit:
        pass  # --help ends here
    return None


def _parse(command: Any, rest: list[str]) -> None:
    """Check options and their values. Raises WRONG, UsageError or typer.Exit."""
    if not hasattr(command, "commands"):
        command.make_context("ds01ctl", rest)
    elif rest:
        # no more than their names: the options of a group act at once (--install-completion)
        command.make_parser(command.context_class(command)).parse_args(rest)
    else:
        raise UsageError("a group of commands, and none of them")


def links(text: str) -> list[str]:
    """Find the relative links outside of code."""
    prose = re.sub(r"`[^`]*`", "", _BLOCK.sub("", text))
    return [link for link in _LINK.findall(prose) if not re.match(r"\w+:", link)]


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def is_dead(link: str, page: Path) -> bool:
    """Tell whether a link leads to no file, or to no heading of it."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target)


def _typed() -> list[Any]:
    return [
        pytest.param(command, id=f"{page.relative_to(ROOT)}: {command}")
        for page in PAGES
        for command in dict.fromkeys(commands(page.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("command", _typed())
def test_command_parses(command: str) -> None:
    assert problem(command) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [link for link in links(text) if is_dead(link, page)] == []


# --- that these checks can fail -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "is_wrong"),
    [
        ("ds01ctl detect unmanaged --json | jq '.x'", False),
        ("ds01ctl detect unmanaged > 'a file'", False),
        ("ds01ctl config init --dry-run     # shows it", False),
        ("ds01ctl --version", False),
        ("ds01ctl detect --help", False),
        ("ds01ctl --install-completion", False),
        ("ds01ctl --no-such-option", True),
        ("ds01ctl detect", True),
        ("ds01ctl detekt unmanaged", True),
        ("ds01ctl detect nothing", True),
        ("ds01ctl detect unmanaged --jason", True),
        ("ds01ctl detect unmanaged --kind no-such-kind", True),
        ("ds01ctl detect workloads --by colour", True),
        ("ds01ctl detect unmanaged --user", True),
        ("ds01ctl config explain", True),
        ("ds01ctl config check one-too-many", True),
    ],
)
def test_wrong_commands_are_told(command: str, is_wrong: bool) -> None:
    assert (problem(command) is not None) is is_wrong


def test_commands_are_found() -> None:
    text = (
        "```console\n$ ds01ctl one\nds01ctl: output\n# ds01ctl two\n```\n"
        "ds01ctl prose, `ds01ctl zero 0`, `ds01ctl COMMAND --help`\n"
        "```sh\nmake run\nds01ctl three \\\n  --more\n# ds01ctl is a comment here\n```\n"
        "```ini\nExecStart=/usr/local/bin/ds01ctl four\n```\n"
        "```text\n$ ds01ctl shown\n```\n"
    )
    found = [" ".join(command.split()) for command in commands(text)]
    assert found[0] == "ds01ctl zero 0"
    assert found[1:] == ["ds01ctl one", "ds01ctl two", "ds01ctl three --more", "ds01ctl four"]


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("docs/explanation/detect.md", False),
        ("docs/explanation/detect.md#managed", False),
        ("#documentation", False),
        ("docs/explanation/detect.md#no-such-heading", True),
        ("docs/explanation/no-such-page.md", True),
        ("../outside.md", True),
    ],
)
def test_dead_links_are_told(link: str, dead: bool) -> None:
    assert is_dead(link, ROOT / "README.md") is dead


def test_links_are_found() -> None:
    text = "[a](one.md) ![b](two.png) [c](https://example.org) `[d](code)`\n```text\n[e](x)\n```\n"
    assert links(text) == ["one.md", "two.png"]
