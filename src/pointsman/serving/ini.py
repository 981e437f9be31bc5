"""The ini, as PasteDeploy reads it: an application and a server.

Effects.  Whatever goes wrong becomes one sentence: a mistake in the ini is the
operator's (:class:`ConfigError`), an exception of the application's own code is its
author's (:class:`LoadError`, with the traceback).
"""

from __future__ import annotations

import os
import traceback
from configparser import ConfigParser, RawConfigParser
from configparser import Error as IniError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paste.deploy.loadwsgi import APP, SERVER, ConfigLoader, loadcontext

from pointsman.errors import ConfigError, Error, LoadError, did_you_mean
from pointsman.serving.runner import server_runner
from pointsman.serving.settings import Place, ServerSettings, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from wsgiref.types import WSGIApplication

    from paste.deploy.loadwsgi import LoaderContext, _ObjectType

    from pointsman.serving.arguments import Order

_KINDS = {APP: "app", SERVER: "server"}
# Failing with these words, PasteDeploy means the ini and not the code that it loads.
_PASTEDEPLOY = os.path.join("paste", "deploy")  # noqa: PTH118 - a part of a path


@dataclass(frozen=True, slots=True)
class ServerSection:
    """The server that the ini asks for.

    ``settings`` is None when the server is not ours; then ``run`` serves and
    returns when it likes.
    """

    settings: ServerSettings | None
    run: Callable[[WSGIApplication], object]


def check(order: Order) -> None:
    """Refuse an ini that is not there or cannot be read, in the user's words.

    Raises:
        ConfigError: it is not a readable file.

    """
    path = order.ini_path
    if path is None:
        return
    try:
        with path.open(encoding="utf-8") as file:
            file.read()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}; name the ini to serve") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no ini file: it is not UTF-8") from error


def server(order: Order) -> ServerSection:
    """Find the server and check its settings; nothing is opened yet.

    Raises:
        ConfigError: the section or a setting is wrong.
        LoadError: the server's own code cannot be imported.

    """
    uri, name = order.uri, order.server_name
    if order.server:
        uri = order.server if ":" in order.server else f"egg:pointsman#{order.server}"
    context = _context(SERVER, order, uri, name)
    if context.object is not server_runner:

        def run(served: WSGIApplication) -> object:
            return context.create()(served)

        return ServerSection(None, _guarded(order, SERVER, name, run))
    place = Place(_shown(order), f"server:{name or 'main'}")
    shadowed = _guarded(order, SERVER, name, _shadowed)(order, place.section)
    given = {**context.local_conf, **shadowed}
    return ServerSection(read(given, place, order.variables or {}), _unused)


def _unused(_application: WSGIApplication) -> object:
    raise NotImplementedError


def application(order: Order) -> WSGIApplication:
    """Load the application: this runs its code, and may take long.

    Raises:
        ConfigError: the section is wrong.
        LoadError: the application's own code failed.

    """
    name = order.app_name
    context = _context(APP, order, order.uri, name)
    made = _guarded(order, APP, name, context.create)()
    if not callable(made):
        raise LoadError(_what(APP, order, name), f"is no WSGI application: {made!r}")
    checked: WSGIApplication = made
    return checked


def _context(
    kind: _ObjectType, order: Order, uri: str, name: str | None
) -> LoaderContext:
    """Find a section; what the command line says wins over ``[DEFAULT]``."""

    def load() -> LoaderContext:
        variables = dict(order.variables or {})
        if order.ini_path is None or uri != order.uri:
            return loadcontext(
                kind, uri, name, relative_to=str(Path.cwd()), global_conf=variables
            )
        return _loader(order).get_context(kind, name or "main", variables)

    context: LoaderContext = _guarded(order, kind, name, load)()
    return context


def _loader(order: Order) -> ConfigLoader:
    loader = ConfigLoader(str(order.ini_path))
    loader.update_defaults(dict(order.variables or {}), overwrite=True)
    return loader


def _shadowed(order: Order, section: str) -> dict[str, str]:
    """Return the settings of a section that PasteDeploy drops.

    It takes a key that ``[DEFAULT]`` has too for a global one, even where the section
    says ``port = %(port)s``.
    """
    if order.ini_path is None or order.server:
        return {}
    raw = RawConfigParser(default_section="\0none")
    raw.read(order.ini_path, encoding="utf-8")
    defaults = _loader(order).parser.defaults()
    written = dict(raw[section]) if raw.has_section(section) else {}
    return {
        key: _interpolated(value, defaults)
        for key, value in written.items()
        if key in defaults
    }


def _interpolated(value: str, defaults: Mapping[str, str]) -> str:
    parser = ConfigParser()
    known = {name: text.replace("%", "%%") for name, text in defaults.items()}
    parser.read_dict({parser.default_section: known, "one": {"\0value": value}})
    return parser.get("one", "\0value")


def _guarded(
    order: Order, kind: _ObjectType, name: str | None, call: Callable[..., Any]
) -> Callable[..., Any]:
    """Wrap a call so that it raises errors of ours only."""
    what = _what(kind, order, name)

    def guarded(*arguments: object) -> object:
        try:
            return call(*arguments)
        except Error:
            raise
        except (LookupError, IniError) as error:
            if _is_of_ini(error):
                raise ConfigError(_ini_sentence(error, kind, order)) from error
            raise _failed(what, error) from error
        except (Exception, SystemExit) as error:
            raise _failed(what, error) from error

    return guarded


def _is_of_ini(error: BaseException) -> bool:
    """Tell whether PasteDeploy itself complains, and not what it called."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, IniError) or _PASTEDEPLOY in last


def _ini_sentence(error: BaseException, kind: _ObjectType, order: Order) -> str:
    words = " ".join(str(error.args[0] if error.args else error).split())
    names = _names(kind, order)
    wanted = order.server_name if kind is SERVER else order.app_name
    if words.startswith("No section") and names:
        return (
            f"{_shown(order)} has no section [{_KINDS[kind]}:{wanted or 'main'}]"
            f"{did_you_mean(wanted or 'main', names)}; it has "
            f"{', '.join(f'[{_KINDS[kind]}:{name}]' for name in names)}"
        )
    if words.startswith("No section"):
        return f"{_shown(order)} has no section [{_KINDS[kind]}:{wanted or 'main'}]"
    return f"{_shown(order)}: {words}"


def _names(kind: _ObjectType, order: Order) -> list[str]:
    parser = RawConfigParser(strict=False)
    if order.ini_path is not None:
        parser.read(order.ini_path, encoding="utf-8")
    prefix = f"{_KINDS[kind]}:"
    return [s.removeprefix(prefix) for s in parser.sections() if s.startswith(prefix)]


def _failed(what: str, error: BaseException) -> LoadError:
    place = ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})"
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}, line {error.lineno})"
    words = str(error.msg if isinstance(error, SyntaxError) else error)
    return LoadError(
        what,
        f"cannot be loaded: {type(error).__name__}: {words}{place}",
        _own_traceback(error, error.__traceback__),
    )


def _own_traceback(error: BaseException, trace: TracebackType | None) -> str:
    """Return the traceback without the frames of this module and PasteDeploy."""
    while trace is not None and trace.tb_next is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and _PASTEDEPLOY not in file:
            break
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _what(kind: _ObjectType, order: Order, name: str | None) -> str:
    return f"{_shown(order)} [{_KINDS[kind]}:{name or 'main'}]"


def _shown(order: Order) -> str:
    return str(order.ini)
