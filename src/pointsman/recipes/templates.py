"""Templates of configuration files: ``${name}`` and ``${section:option}``.  Decisions.

The syntax is buildout's own, and nothing else means anything: ``$MAINPID`` of a unit
and ``%{HOST}e`` of Apache stand as they are.  ``$${`` is a literal ``${``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pointsman.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PLACE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[^}\n]*)\}")


def render(
    text: str,
    variables: Mapping[str, str],
    option: Callable[[str, str], str | None],
    origin: str,
) -> str:
    """Return ``text`` with its places filled in.

    ``option`` gives an option of a section of the buildout, or None; ``origin`` is
    the file's name, for messages.

    Raises:
        ConfigError: a place that nothing fills; it names file, line and what is near.

    """

    def filled(place: re.Match[str]) -> str:
        if place["escaped"]:
            return place[0][1:]
        section, colon, key = place["name"].rpartition(":")
        found = option(section, key) if colon else variables.get(key)
        if found is None:
            line = text.count("\n", 0, place.start()) + 1
            near = did_you_mean(key, variables) if not colon else ""
            raise ConfigError(
                f"{origin}, line {line}: there is nothing for {place[0]}{near}; "
                f"known are {', '.join(sorted(variables))}, and ${{section:option}} of "
                "the buildout"
            )
        return found

    return _PLACE.sub(filled, text)
