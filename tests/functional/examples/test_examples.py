"""The examples, served in this process from a copy of their files."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from wsgiref.util import FileWrapper

import prometheus_client
import pytest
from paste.deploy import loadapp

from pointsman.resources import Resources
from site_folder import get, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.wsgi import Host

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Copy what the examples are made of."""
    for name in ("examples", "etc"):
        shutil.copytree(ROOT / name, tmp_path / name)
    ini = (ROOT / "deploy.ini").read_text("utf-8")
    quick = ini.replace("rehearse = yes", "rehearse = no")
    quick = quick.replace("keep_warm = 600", "keep_warm = 0")
    (tmp_path / "deploy.ini").write_text(quick.replace("200000", "20000"), "utf-8")
    return tmp_path


@pytest.fixture(name="host")
def _host(folder: Path) -> Iterator[Host]:
    """Serve the copy."""
    host: Any = loadapp(f"config:{folder / 'deploy.ini'}")
    yield host
    host.node.close()


def edit(path: Path, old: str, new: str) -> None:
    """Change a file as an author does."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_all_examples_are_served(host: Host) -> None:
    """Nothing of the examples is refused."""
    assert host.node.last is not None
    assert not host.node.last.failed
    assert {"/customers", "/guestbook", "/links", "/sales.csv", "/downloads"} == {
        one.mount.path
        for version in host.node.traffic.versions.values()
        for one in version.loaded.services
    }


def test_a_customer_is_found_by_id_name_and_city(host: Host) -> None:
    """The seed of the ini is in the database, with all letters right."""
    assert "Gro Ødegård" == json.loads(get(host, "/customers/7").text)["name"]
    found = json.loads(get(host, "/customers?q=oslo").text)
    assert [1, 5] == [customer["id"] for customer in found]
    assert [] == json.loads(get(host, "/customers?q=%25").text)


@pytest.mark.parametrize("path", ["/customers/1000", "/customers/x", "/customers/-1"])
def test_who_is_no_customer_is_not_found(host: Host, path: str) -> None:
    """A number that nobody has, and what is no number, are 404."""
    assert "404 Not Found" == get(host, path).status


def put(host: Host, number: int, body: object) -> str:
    """Store a customer; return the status."""
    sent = json.dumps(body).encode()
    return get(
        host,
        f"/customers/{number}",
        **{
            "REQUEST_METHOD": "PUT",
            "CONTENT_LENGTH": str(len(sent)),
            "wsgi.input": io.BytesIO(sent),
        },
    ).status


def test_a_customer_is_stored_and_a_wrong_one_refused(host: Host) -> None:
    """What the model does not allow never reaches the database."""
    assert "200 OK" == put(host, 50, {"name": "Ida", "email": "ida@example.org"})
    for wrong in ({"name": "Ida"}, {"name": "Ida", "email": "x"}, ["x"], {"nom": "x"}):
        assert "400 Bad Request" == put(host, 51, wrong)

    assert "Ida" == json.loads(get(host, "/customers/50").text)["name"]
    assert "404 Not Found" == get(host, "/customers/51").status


def looked_up() -> float:
    """Return the count of found customers."""
    labels = {"outcome": "found"}
    value = prometheus_client.REGISTRY.get_sample_value(
        "customer_lookups_total", labels
    )
    return value or 0.0


def test_the_count_goes_on_over_a_reload_of_the_model(host: Host, folder: Path) -> None:
    """A change of the shared module loads the service again; its counter continues."""
    get(host, "/customers/1")
    before = looked_up()
    model = folder / "examples/customers/customer_model.py"
    edit(model, 'city: str = ""', 'city: str = ""\n    country: str = "NO"')

    report = outcomes(host.node.reload())
    answer = get(host, "/customers/1")

    assert "updated" == report["customer_lookup"].status
    assert "imports customer_model" == report["customer_lookup"].reason
    assert "NO" == json.loads(answer.text)["country"]
    assert before + 1 == looked_up()


def shorten(host: Host, url: str) -> Any:
    """Ask for a short link."""
    sent = f"url={url}".encode()
    return get(
        host,
        "/links/",
        **{
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(sent)),
            "wsgi.input": io.BytesIO(sent),
        },
    )


def test_a_link_leads_on_and_is_counted(host: Host) -> None:
    """Flask makes addresses below the path where the service is mounted."""
    short = shorten(host, "https://example.org/a").headers["Location"]
    assert short.startswith("http://localhost/links/")
    path = short.removeprefix("http://localhost")

    followed = get(host, path)

    assert "302 FOUND" == followed.status
    assert "https://example.org/a" == followed.headers["Location"]
    assert "<td>1</td>" in get(host, "/links/").text


def test_no_link_leads_to_a_script(host: Host) -> None:
    """Only addresses of the web are shortened."""
    assert "400 BAD REQUEST" == shorten(host, "javascript:alert(1)").status


def test_a_changed_template_is_a_new_version(host: Host, folder: Path) -> None:
    """What lies in a package's folder is deployed with it."""
    template = folder / "examples/links/links/templates/links.html"
    edit(template, "<h1>Short links", "<h1>Our links")
    assert "<h1>Short links" in get(host, "/links/").text

    host.node.reload()

    assert "<h1>Our links" in get(host, "/links/").text


def test_the_export_has_every_sale_once(host: Host) -> None:
    """All rows come, below one line of headings; since leaves the older ones out."""
    lines = get(host, "/sales.csv").text.splitlines()
    assert "day,customer,article,pieces,amount" == lines[0]
    assert 20_001 == len(lines)

    since = get(host, "/sales.csv?since=2026-12-31").text.splitlines()
    assert {"2026-12-31"} == {line[:10] for line in since[1:]}
    assert "400 Bad Request" == get(host, "/sales.csv?since=soon").status


def test_an_export_ends_with_the_version_that_it_began_with(
    host: Host, folder: Path
) -> None:
    """A reload in the middle of the stream changes nothing of it."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/sales.csv", "SCRIPT_NAME": ""}
    environ |= {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
    body: Any = host(environ, lambda *_: lambda _: None)
    chunks = [next(body)]
    module = folder / "examples/export/sales_export.py"
    edit(module, "writerows(rows)", 'writerows([("new",)])')

    assert "updated" == outcomes(host.node.reload())["sales_export"].status
    chunks += list(body)
    body.close()

    assert 20_001 == b"".join(chunks).count(b"\r\n")
    assert "new" in get(host, "/sales.csv").text


def test_a_file_is_sent_by_the_server_and_not_twice(host: Host) -> None:
    """The service uses wsgi.file_wrapper, and knows conditional requests."""
    wrapped = []

    def wrapper(file: Any, size: int) -> FileWrapper:
        wrapped.append(size)
        return FileWrapper(file, size)

    whole = get(host, "/downloads/timetable.txt", **{"wsgi.file_wrapper": wrapper})
    again = get(
        host, "/downloads/timetable.txt", HTTP_IF_NONE_MATCH=whole.headers["ETag"]
    )

    assert [65536] == wrapped
    assert whole.text.startswith("Line 7")
    assert str(len(whole.body)) == whole.headers["Content-Length"]
    assert ("304 Not Modified", b"") == (again.status, again.body)


def test_a_range_of_a_file_is_sent(host: Host) -> None:
    """A download that was cut goes on where it ended."""
    part = get(host, "/downloads/timetable.txt", HTTP_RANGE="bytes=5-7")

    assert ("206 Partial Content", "7, ") == (part.status, part.text)


@pytest.mark.parametrize(
    "path",
    [
        "/downloads/../downloads.py",
        "/downloads/..%2f..%2fdownloads.py",
        "/downloads//etc/passwd",
        "/downloads/.hidden",
        "/downloads/outside.txt",
        "/downloads/%00",
        "/downloads/none.txt",
    ],
)
def test_nothing_outside_of_the_directory_is_sent(
    host: Host, folder: Path, path: str
) -> None:
    """Neither dots nor links lead out of the directory, and hidden files are hidden."""
    files = folder / "examples/downloads/files"
    (files / ".hidden").write_text("secret")
    (files / "outside.txt").symlink_to(folder / "deploy.ini")

    assert "404 Not Found" == get(host, path).status
    names = [one["name"] for one in json.loads(get(host, "/downloads/").text)]
    assert ["map.svg", "timetable.txt"] == names


def write(host: Host, name: str, text: str) -> Any:
    """Write into the guest book."""
    sent = urlencode({"name": name, "text": text}).encode()
    return get(
        host,
        "/guestbook",
        **{
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(sent)),
            "wsgi.input": io.BytesIO(sent),
        },
    )


def entries(host: Host, query: str = "") -> Any:
    """Return what the guest book tells."""
    return json.loads(get(host, f"/guestbook{query}").text)


def test_entries_stay(folder: Path) -> None:
    """They are told the newest first, by number, and after a restart."""
    host: Any = loadapp(f"config:{folder / 'deploy.ini'}")
    written = [write(host, "Ida", "Hei på deg"), write(host, " Ola ", "<b>\n")]
    place = written[0].headers["Location"].removeprefix("http://localhost")
    one = json.loads(get(host, place).text)
    host.node.close()
    again: Any = loadapp(f"config:{folder / 'deploy.ini'}")
    found = entries(again)
    newest = entries(again, "?limit=1")
    again.node.close()

    assert ["201 Created"] * 2 == [answer.status for answer in written]
    assert [("Ola", "<b>"), ("Ida", "Hei på deg")] == [
        (entry["name"], entry["text"]) for entry in found
    ]
    assert (found[1], found[:1]) == (one, newest)


def test_what_is_no_entry_is_refused(host: Host) -> None:
    """Nothing of it is written."""
    statuses = [
        write(host, "", "x").status,
        write(host, "x", " ").status,
        write(host, "x" * 101, "x").status,
        get(host, "/guestbook/none").status,
        get(host, "/guestbook/1").status,
        get(host, f"/guestbook/{2**63}").status,
        get(host, "/guestbook?limit=0").status,
        get(host, "/guestbook", REQUEST_METHOD="PUT").status,
    ]

    assert [400, 400, 400, 404, 404, 404, 400, 405] == [
        int(one[:3]) for one in statuses
    ]
    assert [] == entries(host)


def test_the_class_of_entries_goes_forth_and_back(host: Host, folder: Path) -> None:
    """A version with one attribute more, and the one before it, read all entries."""
    write(host, "Ida", "first")
    model = folder / "examples/guestbook/guestbook_entries.py"
    before = model.read_text("utf-8")
    edit(model, '"""One entry; raises', 'stars = 0\n    """One entry; raises')
    edit(model, "self.at = at", "self.at = at\n        self.stars = 5")
    edit(model, '"text": self.text,', '"text": self.text, "stars": self.stars,')
    updated = outcomes(host.node.reload())
    write(host, "Ola", "second")
    stars = [(entry["text"], entry["stars"]) for entry in entries(host)]
    model.write_text(before, "utf-8")
    host.node.reload()
    write(host, "Eva", "third")

    assert "updated" == updated["guestbook"].status
    assert [("second", 5), ("first", 0)] == stars
    assert ["third", "second", "first"] == [each["text"] for each in entries(host)]
    assert "stars" not in entries(host)[1]


def test_a_book_out_of_reach_is_503(folder: Path) -> None:
    """Another process has the file: told with Retry-After, and the rest goes on."""
    with ClientOf(folder / "var" / "guestbook.fs"):
        host: Any = loadapp(f"config:{folder / 'deploy.ini'}")
        answer = get(host, "/guestbook")
        other = get(host, "/customers/1")
        host.node.close()

    assert ("503 Service Unavailable", "2") == (
        answer.status,
        answer.headers["Retry-After"],
    )
    assert "200 OK" == other.status


class ClientOf:
    """Somebody who has a file open."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        self._resources = Resources({"book": f"file://{path}"})

    def __enter__(self) -> None:
        _ = self._resources["book"]

    def __exit__(self, *_: object) -> None:
        self._resources.close()
