"""From a module's bytes to its code, for one namespace.  Effects."""

from __future__ import annotations

import marshal
from importlib.machinery import SourceFileLoader
from importlib.resources.abc import TraversableResources
from importlib.resources.readers import MultiplexedPath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.namespace import facade

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from importlib.resources.abc import ResourceReader
    from types import CodeType, ModuleType

    from pointsman.namespace.space import Namespace


class ArtifactLoader(SourceFileLoader):
    """The loader (PEP 302, PEP 451) of one module of one version.

    The files of each version lie in a folder of their own, so what the base class
    says of resources, sources and data is true for that version, however many
    others are alive.  Code comes from the rehearsal or from the artifact's bytes,
    never from ``.pyc`` files: those are keyed by time and size, and serve stale
    code when a file is rewritten quickly.
    """

    def __init__(self, space: Namespace, name: str, path: str) -> None:
        """Load the module ``name`` of ``space``, whose file is ``path``."""
        super().__init__(name, path)
        self.space = space

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the facade: importlib only ever puts that into ``sys.modules``."""
        return facade.ensure(spec.name)

    def exec_module(self, module: ModuleType) -> None:  # noqa: ARG002
        """Import the real module into the namespace, for importlib."""
        self.space.load(self.name)

    def is_package(self, fullname: str) -> bool:
        """Tell whether the module can have submodules."""
        return self.space.spec(fullname).submodule_search_locations is not None

    def get_resource_reader(self, name: str) -> ResourceReader:  # type: ignore[override]
        """Return the reader of ``importlib.resources`` for this version's files."""
        spec = self.space.spec(name)
        if spec.has_location:
            return super().get_resource_reader(name)
        return _FolderReader(*(spec.submodule_search_locations or ()))

    def get_code(self, fullname: str) -> CodeType:
        """Return the code, without a look at any bytecode cache on disk."""
        code = self.space.codes.get(fullname)
        if code is not None:
            loaded: CodeType = marshal.loads(code)  # noqa: S302 - our own child's
            return loaded
        try:
            compiled: Any = compile(
                self.space.source(fullname), self.path, "exec", dont_inherit=True
            )
        except SyntaxError as error:
            error.filename = error.filename or self.path  # unknown for a null byte
            raise
        except ValueError as error:  # which Python before 3.11.4 raises for that
            raise SyntaxError(str(error), (self.path, None, None, None)) from None
        if self.space.keeps_codes:
            self.space.codes[fullname] = marshal.dumps(compiled)
        return compiled  # type: ignore[no-any-return]


class _FolderReader(TraversableResources):
    """Reads from a folder without ``__init__.py`` (PEP 420)."""

    def __init__(self, *folders: str) -> None:
        self._folders = folders

    def files(self) -> MultiplexedPath:
        return MultiplexedPath(*map(Path, self._folders))
