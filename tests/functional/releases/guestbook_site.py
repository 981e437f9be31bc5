"""A site whose releases serve the guest book, deployed hot, from one ZEO server."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connections import ONE_SHOT
from functional.releases.paster_site import PasterSite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

EXAMPLE = Path(__file__).parents[3] / "examples" / "guestbook"
API = "/_pointsman/api/v1"
INI = """
[app:main]
use = egg:pointsman
work_dir = {var}
rehearse = no
resource.guestbook = {uri}

[server:main]
use = egg:pointsman#server
host = 127.0.0.1
port = {port}
threads = 8
drain_timeout = 20
keep_alive_grace = 0.5
"""
# What the example does not do: it tells who wrote, counts in an object that cannot
# resolve conflicts, and may be kept waiting in the middle of a transaction.
_CHANGES = {
    "import random\n": "import os\nimport random\nimport threading\n",
    "_NEWEST, _MOST = 20, 1000": "_NEWEST, _MOST = 20, 9999",
    "_PAUSE = 0.01\n": "_PAUSE = 0.01\n_HERE = threading.local()\n",
    "return work(_entries(connection.root()))": """\
_HERE.root = connection.root()
                    return work(_entries(_HERE.root))""",
    "            entries[number] = entry\n": """\
            entries[number] = entry
            _HERE.root["count"] = _HERE.root.get("count", 0) + 1
            if "begun" in given:
                open(given["begun"], "w").close()
            while "until" in given and not os.path.exists(given["until"]):
                time.sleep(0.005)
""",
    "        location = f": "        told['pid'] = os.getpid()\n        location = f",
    "        number = request.path_info_pop()\n": """\
        number = request.path_info_pop()
        if number == "count":
            return str(self._transaction(lambda _: _HERE.root.get("count", 0)))
""",
}
# The next version of the class: one attribute more, with a default.
_STARS = {
    '    """One entry;': '    stars = 0\n    """One entry;',
    "self.at = at": "self.at = at\n        self.stars = 5",
    '"text": self.text,': '"text": self.text, "stars": self.stars,',
}


def service() -> str:
    """Return the service of the example, which tells more."""
    return changed("guestbook.py", _CHANGES)


def entry(*, stars: bool) -> str:
    """Return one of the two versions of the class."""
    return changed("guestbook_entries.py", _STARS if stars else {})


def changed(name: str, changes: Mapping[str, str]) -> str:
    """Return a file of the example, edited."""
    text = (EXAMPLE / name).read_text("utf-8")
    for old, new in changes.items():
        assert 1 == text.count(old), old
        text = text.replace(old, new)
    return text


class GuestbookSite(PasterSite):
    """A `PasterSite` whose releases hold no service: all are in the ledger."""

    def __init__(self, folder: Path, uri: str) -> None:
        super().__init__(folder)
        self._uri = uri

    def ini(self) -> str:
        """Return what the releases serve."""
        var = self.store.root.var
        return INI.format(var=var, uri=self._uri, port=self.port)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask on a connection of its own, with the token where one is needed."""
        headers: dict[str, str] = {}
        if path.startswith(API):
            token = (self.store.root.var / "control.token").read_text().strip()
            headers["Authorization"] = f"Bearer {token}"
        url = f"http://127.0.0.1:{self.port}{path}"
        return ONE_SHOT.request(method, url, headers=headers, **more)

    def deploy(self, **sources: str) -> None:
        """Deploy modules hot, together."""
        files = [("file", (f"{name}.py", text)) for name, text in sources.items()]
        answer = self.ask("POST", f"{API}/packages", files=files)
        assert 200 == answer.status_code, answer.text

    def packages(self) -> Any:
        """Return what is deployed."""
        found = self.ask("GET", f"{API}/packages").json()
        return found["generation"], found["packages"]

    def go_back(self, package: str) -> None:
        """Let a package be what it was before."""
        answer = self.ask("POST", f"{API}/packages/{package}/rollback", json={})
        assert 200 == answer.status_code, answer.text

    def write(self, text: str, **more: str) -> Any:
        """Write an entry; return what became of it."""
        form = {"name": "Ida", "text": text, **more}
        answer = self.ask("POST", "/guestbook", data=form)
        assert 201 == answer.status_code, answer.text
        return answer.json()

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return all entries, by their texts, each of which is there once."""
        found = self.ask("GET", "/guestbook?limit=9999").json()
        by_text = {one["text"]: one for one in found}
        assert len(found) == len(by_text)
        return by_text

    def count(self) -> int:
        """Return how many were counted, in the transactions that wrote them."""
        return int(self.ask("GET", "/guestbook/count").text)


class Writers:
    """Write from several threads until they are told to end."""

    def __init__(self, site: GuestbookSite, threads: int) -> None:
        self.written: dict[str, int] = {}  # text, and the pid that wrote it
        self.failed: list[BaseException] = []
        self._site = site
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(f"writer {number}",))
            for number in range(threads)
        ]

    def start(self) -> Writers:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def _write(self, name: str) -> None:
        for number in itertools.count():
            if self._over.is_set():
                return
            text = f"{name}, {number}"
            try:
                self.written[text] = self._site.write(text)["pid"]
            except Exception as error:  # noqa: BLE001 - told by the test
                self.failed.append(error)

    def wrote(self, more: int = 8) -> Callable[[], bool]:
        """Return what tells whether so many more have been written than by now."""
        wanted = len(self.written) + more
        return lambda: len(self.written) >= wanted or bool(self.failed)

    def stop(self) -> None:
        """Let each finish what it writes."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
