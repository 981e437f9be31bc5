"""What stays alive of forgotten namespaces, and who holds it.  Effects.

A version that has ended should vanish.  What keeps it is found by walking from all
that is certainly alive (the host's modules, the threads) towards it: so garbage that
the collector has not looked at yet is never reported, and neither are the references
that a namespace has to itself.  ``gc.get_referrers`` would look the other way round,
but it does not see what ``gc.freeze`` has put aside, and there the host's modules are.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from time import monotonic
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any

from pointsman.namespace import holders
from pointsman.namespace.facade import Facade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pointsman.namespace.space import Namespace

#: How many objects a search looks at; a process with more is not searched to the end.
MOST_OBJECTS = 5_000_000

#: How many holders of one version are named.
MOST_HOLDERS = 5

# They lead nowhere that a service could have put something.
_LEAVES = (
    BuiltinFunctionType,
    CodeType,
    Facade,
    GetSetDescriptorType,
    MemberDescriptorType,
    WrapperDescriptorType,
    weakref.ref,
)


@dataclass(frozen=True, slots=True)
class Leak:
    """One ended version of a package that is still in memory."""

    package: str
    digest: str
    age_seconds: float
    holders: tuple[str, ...]


class _Watched:
    """One forgotten namespace: weak references to it and to its classes.

    The functions of a namespace hold it; a class without functions does not.
    """

    def __init__(self, space: Namespace, since: float) -> None:
        self.package = space.package.name
        self.digest = space.package.artifact.digest
        self.since = since
        self._space = weakref.ref(space)
        self._classes = [weakref.ref(kind) for kind in _classes(space)]

    def space(self) -> Namespace | None:
        return self._space()

    def alive(self) -> bool:
        return self._space() is not None or any(ref() for ref in self._classes)

    def own(self) -> list[object]:
        """Return what is of this version and still there."""
        found: list[object] = [kind for ref in self._classes if (kind := ref())]
        space = self._space()
        if space is not None:
            found.append(space)
            for module in tuple(space.modules.values()):
                found += (module, getattr(module, "__dict__", None))
        return found


class Watch:
    """Watches forgotten namespaces.  Any thread.

    ``clock`` tells monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Watch nothing yet."""
        self._clock = clock
        self._lock = threading.Lock()  # guards _watched
        self._watched: list[_Watched] = []

    def add(self, space: Namespace) -> None:
        """Watch a namespace from the moment on in which it is forgotten."""
        watched = _Watched(space, self._clock())
        with self._lock:
            self._watched.append(watched)

    def count(self) -> int:
        """Return how many of them are still in memory; quick."""
        return len(self._alive())

    def leaks(self, *, collect: bool = False) -> tuple[Leak, ...]:
        """Return what is still alive, the oldest first, with who holds it.

        Costs nothing while all that was forgotten is gone.  Otherwise all objects
        of the process are looked at, about two seconds for each million, on this
        thread; other threads run meanwhile.  What nobody holds is not told: it
        only waits for the garbage collector.  ``collect`` lets that run first (all
        threads wait for it), and then tells everything that is alive.

        What only this thread's own stack holds is not told either.
        """
        if collect and self._alive():
            gc.collect()
        alive = self._alive()
        if not alive:
            return ()
        named = _Search(alive).holders()
        now = self._clock()
        return tuple(
            Leak(one.package, one.digest, now - one.since, told or (_UNSEEN,))
            for one, told in zip(alive, named, strict=True)
            if told or collect
        )

    def _alive(self) -> list[_Watched]:
        with self._lock:
            self._watched = [one for one in self._watched if one.alive()]
            return list(self._watched)


_UNSEEN = (
    "something that Python does not show: a context variable, a C extension, or what "
    "a thread is just working on"
)


class _Search:
    """One walk through everything that is alive, for all watched versions at once."""

    def __init__(self, watched: list[_Watched]) -> None:
        self._watched = watched
        self._own: dict[int, int] = {}  # id of an object to the number of its version
        self._kept: list[object] = []  # so that no id is used again meanwhile
        for number, one in enumerate(watched):
            for thing in one.own():
                self._own[id(thing)] = number
                self._kept.append(thing)
        self._found: list[dict[str, None]] = [{} for _ in watched]
        self._objects: list[object] = []
        self._parents: list[int] = []

    def holders(self) -> list[tuple[str, ...]]:
        spaces = {id(one.space()): n for n, one in enumerate(self._watched)}
        for name, space in holders.running():
            number = spaces.get(id(space))
            if number is not None:
                self._found[number][name] = None
        self._walk()
        return [tuple(found)[:MOST_HOLDERS] for found in self._found]

    def _walk(self) -> None:
        seen: set[int] = {id(self.__dict__), id(self._objects), id(self._parents)}
        for thing in (self, self._own, self._kept, self._found, self._watched, seen):
            seen.add(id(thing))
        for one in self._watched:
            seen.update((id(one), id(one.__dict__)))
        for root in _roots():
            self._put(root, -1, seen)
        next_ = 0
        while next_ < len(self._objects) < MOST_OBJECTS:
            parent = self._objects[next_]
            for child in _referents(parent):
                if id(child) not in seen:
                    number = self._number(child)
                    if number is None:
                        self._put(child, next_, seen)
                    else:  # seen anew through each holder
                        self._note(number, next_, child)
            next_ += 1

    def _put(self, thing: object, parent: int, seen: set[int]) -> None:
        seen.add(id(thing))
        # A running frame is not tracked, nor is what only has atoms in it.
        if (gc.is_tracked(thing) or parent < 0) and not isinstance(thing, _LEAVES):
            self._objects.append(thing)
            self._parents.append(parent)

    def _number(self, thing: object) -> int | None:
        """Return the number of the version that a thing is of, if it is of one."""
        own = self._own
        number = own.get(id(thing))
        if number is None:
            number = own.get(id(type(thing)))
        if number is None and type(thing) is FunctionType:
            number = own.get(id(thing.__globals__))
        if number is None and type(thing) is FrameType:
            number = own.get(id(thing.f_globals))
        return number

    def _note(self, number: int, parent: int, child: object) -> None:
        found = self._found[number]
        if len(found) < MOST_HOLDERS:
            path = deque([child])
            while parent >= 0:
                path.appendleft(self._objects[parent])
                parent = self._parents[parent]
            told = holders.told(tuple(path))
            if told:
                found[told] = None


def _roots() -> Iterator[object]:
    """Yield what is alive whatever happens: modules of the host, other threads."""
    for module in tuple(sys.modules.values()):
        if type(module) is not Facade:
            yield getattr(module, "__dict__", module)
    me = threading.get_ident()
    for ident, frame in sys._current_frames().items():  # noqa: SLF001
        deeper: FrameType | None = frame if ident != me else None
        while deeper is not None:
            yield deeper
            deeper = deeper.f_back


def _referents(thing: object) -> list[Any]:
    # The collector does not look into frames that are running.
    if type(thing) is not FrameType:
        return gc.get_referents(thing)
    variables: Mapping[str, Any] = thing.f_locals
    found = [thing.f_globals, *variables.values()]
    if thing.f_code.co_flags & CO_OPTIMIZED and isinstance(variables, dict):
        variables.clear()  # before 3.13 the frame would keep them, and what they hold
    return found


def _classes(space: Namespace) -> Iterable[type]:
    found = {}
    for module in tuple(space.modules.values()):
        for thing in tuple(getattr(module, "__dict__", {}).values()):
            if isinstance(thing, type) and thing.__module__ in space.modules:
                found[id(thing)] = thing
    return found.values()
