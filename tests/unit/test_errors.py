"""Errors say what failed, on what, and whose fault it is."""

from __future__ import annotations

import re

import pytest

from pointsman import errors


def tree() -> dict[str, int]:
    """Return the classes in the drawing of the module's docstring, by their depth."""
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^( {4}[ │├└─]*)([A-Z]\w+)(?:  |$)", line)
        if found:
            drawn[found[2]] = len(found[1]) // 4 - 1
    return drawn


def test_drawing_is_true() -> None:
    """The tree in the docstring is the tree of the classes."""
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    ours = [c for c in classes if issubclass(c, errors.Error)]

    assert {c.__name__: c.__mro__.index(errors.Error) for c in ours} == tree()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.ConfigError("deploy.ini [x]: no"), "deploy.ini [x]: no"),
        (
            errors.ArtifactError("crm", "/s/crm.py", "is empty"),
            "crm (/s/crm.py): is empty",
        ),
        (errors.LoadError("crm", "failed", "Traceback"), "crm: failed"),
        (errors.StuckError("crm", "hangs"), "crm: hangs"),
        (
            errors.ServiceError("Crm", "crm", "returned 1"),
            "the service Crm (crm) returned 1",
        ),
        (errors.Refused(404, "Not Found", "nothing here"), "nothing here"),
    ],
)
def test_sentences(error: errors.Error, told: str) -> None:
    """Each error writes its own sentence."""
    assert told == str(error)


def test_parts() -> None:
    """What an error is about can be read from it."""
    error = errors.LoadError("crm", "failed", "Traceback")
    refused = errors.Refused(404, "Not Found", "nothing here")

    assert ("crm", "failed", "Traceback") == (
        error.package,
        error.reason,
        error.traceback,
    )
    assert (404, "Not Found", "nothing here") == (
        refused.status,
        refused.title,
        refused.detail,
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [("rehears", "; did you mean 'rehearse'?"), ("zzz", ""), ("", "")],
)
def test_did_you_mean(word: str, expected: str) -> None:
    """The nearest known word is offered, or none."""
    assert expected == errors.did_you_mean(word, ["rehearse", "metrics"])
