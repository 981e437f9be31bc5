from collections.abc import Callable, Mapping
from configparser import ConfigParser
from typing import Any, TypeAlias
from wsgiref.types import WSGIApplication

_Filter: TypeAlias = Callable[[WSGIApplication], WSGIApplication]
_Server: TypeAlias = Callable[[WSGIApplication], None]

class NicerConfigParser(ConfigParser):
    filename: str

    def __init__(self, filename: str) -> None: ...

class _ObjectType:
    name: str

    def invoke(self, context: LoaderContext) -> Any: ...

APP: _ObjectType
FILTER: _ObjectType
SERVER: _ObjectType

class AttrDict(dict[str, str]):
    local_conf: dict[str, str]
    global_conf: dict[str, str]
    context: LoaderContext

class LoaderContext:
    object: Any
    object_type: _ObjectType
    protocol: str | None
    global_conf: dict[str, str]
    local_conf: dict[str, str]
    loader: _Loader

    def create(self) -> Any: ...
    def config(self) -> AttrDict: ...

class _Loader:
    def get_app(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> WSGIApplication: ...
    def get_filter(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> _Filter: ...
    def get_server(
        self, name: str | None = None, global_conf: Mapping[str, str] | None = None
    ) -> _Server: ...

class ConfigLoader(_Loader):
    filename: str
    parser: NicerConfigParser

    def __init__(self, filename: str) -> None: ...
    def update_defaults(
        self, new_defaults: Mapping[str, str], overwrite: bool = True
    ) -> None: ...
    def get_context(
        self,
        object_type: _ObjectType,
        name: str | None = None,
        global_conf: Mapping[str, str] | None = None,
    ) -> LoaderContext: ...

def loadapp(
    uri: str,
    name: str | None = None,
    *,
    relative_to: str | None = None,
    global_conf: Mapping[str, str] | None = None,
) -> WSGIApplication: ...
def loadfilter(
    uri: str,
    name: str | None = None,
    *,
    relative_to: str | None = None,
    global_conf: Mapping[str, str] | None = None,
) -> _Filter: ...
def loadserver(
    uri: str,
    name: str | None = None,
    *,
    relative_to: str | None = None,
    global_conf: Mapping[str, str] | None = None,
) -> _Server: ...
def appconfig(
    uri: str,
    name: str | None = None,
    relative_to: str | None = None,
    global_conf: Mapping[str, str] | None = None,
) -> AttrDict: ...
def loadcontext(
    object_type: _ObjectType,
    uri: str,
    name: str | None = None,
    relative_to: str | None = None,
    global_conf: Mapping[str, str] | None = None,
) -> LoaderContext: ...
