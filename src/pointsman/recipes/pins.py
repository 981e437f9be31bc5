"""Every distribution is one that was named, with its version.  Decisions.

zc.buildout's ``allow-picked-versions = false`` lets two kinds through: a requirement
with one ``==`` in it, also ``==1.*``, counts as a pin although a dependency wrote it,
and so does what the running Python has installed already.  Hence this second look, at
what really came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def unpinned(
    distributions: Iterable[tuple[str, str]], pins: Mapping[str, str]
) -> tuple[str, ...]:
    """Return a line for each distribution (name, version) that no pin names.

    ``pins`` are the versions of the buildout; a pin is one version, without ``*`` or
    an operator.
    """
    wanted = {canonicalize_name(name): pin.strip() for name, pin in pins.items()}
    lines = []
    for name, version in sorted(distributions, key=lambda one: one[0].lower()):
        pin = wanted.get(canonicalize_name(name))
        if not pin:
            lines.append(f"{name} = {version}")
        elif pin.removeprefix("==").strip() != version:
            lines.append(f"{name} = {version} (there is a pin {pin})")
    return tuple(lines)
