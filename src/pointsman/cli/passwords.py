"""Passwords as people type them: unseen, or as a line of input.  Effects."""

from __future__ import annotations

import sys

import click

from pointsman.errors import ConfigError


def asked(name: str) -> str:
    """Return the password that somebody signs in with.

    Raises:
        ConfigError: standard input has ended.

    """
    if _is_terminal():
        return _prompted(f"password of {name}", confirm=False)
    return _line(f"the password of {name}")


def chosen(name: str) -> str:
    """Return a new password; on a terminal it is typed twice.

    Raises:
        ConfigError: standard input has ended.

    """
    if _is_terminal():
        return _prompted(f"new password of {name}", confirm=True)
    return _line(f"the new password of {name}")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _prompted(text: str, *, confirm: bool) -> str:
    typed: str = click.prompt(
        text, hide_input=True, confirmation_prompt=confirm, err=True
    )
    return typed


def _line(what: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise ConfigError(f"standard input has ended before {what}: one on a line")
    return line.rstrip("\r\n")
