"""The services that are deployed again and again, as text by version."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: How many lines a version of the file of `package` has, and how long each is.
FILE_LINES, FILE_LINE = 4096, 16
CHUNKS = 10
UPLOAD = 64 * 1024
SLOW_SECONDS = 0.15


def write(path: Path, text: str) -> None:
    """Replace a file at once, as a careful deployer does."""
    half = path.with_name(f".{path.name}")
    half.write_text(text, "utf-8")
    half.replace(path)


def module(version: int, *, heavy: bool = False, lines: int = 100) -> str:
    """Return a module of so many lines, whose application answers its version."""
    head = f'''\
"""Looks up prices; version {version}."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
{"import jinja2" if heavy else ""}
{"import sqlalchemy" if heavy else ""}

VERSION = {version}
log = logging.getLogger(__name__)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % VERSION]
'''
    part = '''

@dataclass(frozen=True)
class Price{n}:
    """The price of one article, in cents."""

    article: str
    cents: int = {n}
    notes: list[str] = field(default_factory=list)

    def discounted(self, percent: int) -> int:
        """Return the price with a discount."""
        if not 0 <= percent <= 100:
            raise ValueError(f"{{percent}} percent cannot be taken off")
        return self.cents * (100 - percent) // 100
'''
    text, number = head, 0
    while text.count("\n") + part.count("\n") <= lines:
        text, number = text + part.format(n=number), number + 1
    return text + "#\n" * (lines - text.count("\n"))


_SHOP = """\
import time
IMPORTS

VERSION = "NUMBER"


def application(environ, start_response):
    first = VERSION
    time.sleep(SLOW if environ["PATH_INFO"].endswith("slow") else 0.0005)
    from shop_late import VERSION as late

    body = f"{first} {VERSION} {late}".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
"""


def deployed(version: int, *, heavy: bool) -> dict[str, str]:
    """Return the modules that `servers` deploys: an application and a late import.

    An answer has the version as it is at the start of the request, after a pause,
    and in a module that is imported only then.
    """
    given = {
        "IMPORTS": "import jinja2\nimport sqlalchemy" if heavy else "",
        "NUMBER": str(version),
        "SLOW": str(SLOW_SECONDS),
    }
    application = _SHOP
    for name, text in given.items():
        application = application.replace(name, text)
    return {"shop.py": application, "shop_late.py": f'VERSION = "{version}"\n'}


_WEB = '''\
"""A package that does what services do, in version {version}."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List

from pointsman import Service

VERSION = "{version}"
log = logging.getLogger(__name__)
handler = logging.StreamHandler()
log.addHandler(handler)
logging.getLogger(f"{{__name__}}.orders").setLevel(logging.ERROR)


class Order:
    """Is named in an annotation, which typing remembers."""

    parts: List[Order]


def total(orders: List["Order"], more: List[Order]) -> List[Order]:
    return [*orders, *more]


ANNOTATED = List[Order]


class Plain(Service):
    path = "/shop/plain"

    def start(self):
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="shop")
        self.pool.submit(log.debug, "ready").result()

    def stop(self):
        self.pool.shutdown(wait=True)

    def handle(self, request):
        first = VERSION
        future = self.pool.submit(lambda: VERSION)
        return f"{{first}} {{future.result()}} {{VERSION}}"


class Slow(Service):
    path = "/shop/slow"

    def handle(self, request):
        first = VERSION
        time.sleep({slow})
        from shop.late import VERSION as late

        return f"{{first}} {{VERSION}} {{late}}"


class Stream(Service):
    path = "/shop/stream"

    def handle(self, request):
        return self.chunks()

    def chunks(self):
        for number in range({chunks}):
            yield f"{{VERSION}} ".encode()
            time.sleep(0.001)
        from shop.late import VERSION as late

        yield f"{{late}} end=yes".encode()


class Upload(Service):
    path = "/shop/upload"

    def handle(self, request):
        first = VERSION
        size, total = 0, hashlib.sha256()
        while block := request.body_file.read(16384):
            size += len(block)
            total.update(block)
        return f"{{first}} size={{size}} {{VERSION}}"


class File(Service):
    path = "/shop/file"

    def handle(self, request):
        return lambda environ, start_response: None

    def __call__(self, environ, start_response):
        file = Path(__file__).with_name("data.txt").open("rb")
        headers = [("Content-Type", "text/plain"), ("Content-Length", "{size}")]
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](file, 65536)
'''


def shop(version: int) -> dict[str, str]:
    """Return the files of a version of the package ``shop``."""
    web = _WEB.format(
        version=version,
        slow=SLOW_SECONDS,
        chunks=CHUNKS,
        size=FILE_LINES * FILE_LINE,
    )
    line = f"{version}".ljust(FILE_LINE - 1) + "\n"
    return {
        "shop/__init__.py": "",
        "shop/data.txt": line * FILE_LINES,
        "shop/late.py": f'VERSION = "{version}"\n',
        "shop/web.py": web,
    }


def package(folder: Path, version: int) -> None:
    """Write a version of ``shop``, which `load` reloads, below a folder."""
    (folder / "shop").mkdir(exist_ok=True)
    for path, text in shop(version).items():
        write(folder / path, text)
    if not (folder / "service-sources.txt").exists():
        write(folder / "service-sources.txt", "shop.web\n.\n")


_SERVICES = ("Plain", "Slow", "Stream", "Upload", "File")


def archive(version: int) -> bytes:
    """Return a version of ``shop`` as an archive (.sar), which `soak` deploys."""
    lines = ["[package]", "name = shop", f"version = {version}"]
    for name in _SERVICES:
        lines += [f"[service:shop.{name.lower()}]", f"use = shop.web:{name}"]
    files = {"service.ini": "\n".join([*lines, ""]), **shop(version)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path, text in files.items():
            zipped.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def requests() -> dict[str, dict[str, object]]:
    """Return one request of each kind that the package answers, for clients."""
    return {
        "plain": {"kind": "plain", "path": "/shop/plain"},
        "stream": {"kind": "stream", "path": "/shop/stream", "facts": ["end=yes"]},
        "upload": {
            "kind": "upload",
            "path": "/shop/upload",
            "upload": UPLOAD,
            "facts": [f"size={UPLOAD}"],
        },
        "file": {"kind": "file", "path": "/shop/file"},
        "slow": {"kind": "slow", "path": "/shop/slow"},
    }


def environment() -> dict[str, str]:
    """Return the environment of a server: this process's libraries, no bytecode."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        # Bytecode files are keyed by time and size: after a quick rewrite, servers
        # that import would serve the old version, and lose by no fault of theirs.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
