"""How a recipe fails.  Edge.

zc.buildout shows the sentence of a UserError, and takes every other exception for a
bug of a recipe.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from zc.buildout import UserError

from pointsman.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def told() -> Iterator[None]:
    """Make errors of ours ones of buildout.

    Raises:
        UserError: with the sentence of an Error.

    """
    try:
        yield
    except Error as error:
        raise UserError(str(error)) from error
