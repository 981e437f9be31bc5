from collections.abc import Sequence

truthy: frozenset[str]
falsy: frozenset[str]

def asbool(obj: object) -> bool: ...
def asint(obj: object) -> int: ...
def aslist(
    obj: str | Sequence[str] | None, sep: str | None = None, strip: bool = True
) -> Sequence[str]: ...
