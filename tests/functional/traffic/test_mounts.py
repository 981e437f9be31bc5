"""SCRIPT_NAME and PATH_INFO are right for whatever is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_versions import host, version
from pointsman.traffic import Traffic
from pointsman.wsgi import filter_factory
from site_folder import get

if TYPE_CHECKING:
    from typing import Any

    from site_folder import SiteFolder

ECHO = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")]
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/echo", "/echo|"),
        ("/echo/", "/echo|/"),
        ("/echo/a/b", "/echo|/a/b"),
        ("/echo//a", "/echo|//a"),
        ("/echo/k%C3%A4se", "/echo|/käse"),
        ("/echo/a%2Fb", "/echo|/a/b"),
    ],
)
def test_mount_goes_to_script_name(site: SiteFolder, path: str, expected: str) -> None:
    """The mount moves from PATH_INFO to SCRIPT_NAME; together they are the path."""
    site.write("echo.py", ECHO)

    assert expected == get(site.host(), path).text


def test_mount_below_a_script_name(site: SiteFolder) -> None:
    """What the server or a composite has taken off already stays in front."""
    site.write("echo.py", ECHO)

    answer = get(site.host(), "/echo/a", SCRIPT_NAME="/front")

    assert "/front/echo|/a" == answer.text


def test_root_service(site: SiteFolder) -> None:
    """A service at the root sees the whole path, and overlapping mounts win."""
    site.write("echo.py", ECHO)
    site.write("letters.py", ECHO)
    served = site.host(service__echo__path="/")

    paths = ["/", "/a//b", "/letters/a", "/lettersa"]
    answers = [get(served, path).text for path in paths]

    assert ["|/", "|/a//b", "/letters|/a", "|/lettersa"] == answers


def test_mount_with_utf8(site: SiteFolder) -> None:
    """A mount outside of ASCII is found by the bytes of its path (PEP 3333)."""
    site.write("echo.py", ECHO)
    served = site.host(service__echo__path="/käse/alt")

    assert "/käse/alt|/x" == get(served, "/k%C3%A4se/alt/x").text


def test_flask_makes_links(site: SiteFolder) -> None:
    """A Flask application routes below its mount, and makes links that lead there."""
    site.write(
        "crm.py",
        """
        from flask import Flask, url_for

        application = Flask(__name__)

        @application.get("/customers/<int:number>")
        def customer(number):
            return url_for("customer", number=number + 1)
        """,
    )
    served = site.host(service__crm__path="/sales/crm")

    answer = get(served, "/sales/crm/customers/7")
    followed = get(served, answer.text)

    assert "/sales/crm/customers/8" == answer.text
    assert "/sales/crm/customers/9" == followed.text
    assert "404 NOT FOUND" == get(served, "/sales/crm/customers/x").status


def test_pointsman_below_a_pointsman(site: SiteFolder) -> None:
    """A host that is a service of another one shifts the path once more."""
    site.write("echo.py", ECHO)
    front = Traffic()
    front.publish(1, {"front": version("front", front=site.host())})

    answer = get(host(front), "/front/echo/a", SCRIPT_NAME="/server")

    assert "/server/front/echo|/a" == answer.text


def test_filter_lets_the_rest_through(site: SiteFolder) -> None:
    """As a filter, a path that no service has goes to the application, untouched."""
    site.write("echo.py", ECHO)

    def behind(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"behind {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]

    made = filter_factory(
        {"here": str(site.folder)},
        service_sources=str(site.list),
        rehearse="no",
        keep_warm="0",
    )(behind)
    site.hosts.append(made)

    assert "/echo|/a" == get(made, "/echo/a").text
    assert "behind /front|/other/a" == get(made, "/other/a", SCRIPT_NAME="/front").text


def test_nothing_is_mounted_there(site: SiteFolder) -> None:
    """Without a service, the answer is a 404 that names the path, SCRIPT_NAME too."""
    answer = get(site.host(), "/k%C3%A4se", SCRIPT_NAME="/front")

    assert "404 Not Found" == answer.status
    assert "/front/käse" in answer.text
