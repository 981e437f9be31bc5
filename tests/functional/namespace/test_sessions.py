"""What one version leaves with a client or in a store, the others understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from site_folder import get, statuses

if TYPE_CHECKING:
    from pointsman.wsgi import Host
    from site_folder import Answer, SiteFolder

FLASK = """
    import base64
    import pickle
    import flask

    VERSION = 1
    application = flask.Flask(__name__)
    application.secret_key = "the same in every version"

    class Basket:
        def __init__(self):
            self.lines = []

        def describe(self):
            return f"{len(self.lines)} lines, shown by {VERSION}: {self.lines}"

    @application.get("/signed")
    def signed():
        flask.session.setdefault("seen", [])
        flask.session["seen"] = [*flask.session["seen"], VERSION]
        return flask.session["seen"]

    @application.get("/pickled")
    def pickled():
        cookie = flask.request.cookies.get("basket")
        basket = pickle.loads(base64.b64decode(cookie)) if cookie else Basket()
        assert type(basket) is Basket
        basket.lines.append(VERSION)
        response = flask.make_response(basket.describe())
        response.set_cookie("basket", base64.b64encode(pickle.dumps(basket)).decode())
        return response
"""


def browse(host: Host, path: str, before: Answer | None) -> Answer:
    """Ask for a page with the cookie that the page before has set."""
    cookie = before.headers["Set-Cookie"].partition(";")[0] if before else ""
    return get(host, path, HTTP_COOKIE=cookie)


def forth_and_back(site: SiteFolder, path: str) -> list[str]:
    """Return what version 1, 2, and 1 again answer to one client."""
    answers: list[str] = []
    answer: Answer | None = None
    host: Host | None = None
    for version in (1, 2, 1):
        site.write("app.py", FLASK.replace("VERSION = 1", f"VERSION = {version}"))
        if host is None:
            host = site.host(keep_warm="600")
        else:
            assert {"app": "updated"} == statuses(host.node.reload())
        answer = browse(host, path, answer)
        answers.append(answer.text.strip())
    return answers


def test_a_signed_session(site: SiteFolder) -> None:
    """Flask's session goes from version 1 to 2 and back, with what each wrote."""
    compact = [
        answer.replace("\n", "").replace(" ", "")
        for answer in forth_and_back(site, "/app/signed")
    ]

    assert ["[1]", "[1,2]", "[1,2,1]"] == compact


def test_a_pickled_session(site: SiteFolder) -> None:
    """An object of the service's own class goes from version 1 to 2 and back."""
    assert [
        "1 lines, shown by 1: [1]",
        "2 lines, shown by 2: [1, 2]",
        "3 lines, shown by 1: [1, 2, 1]",
    ] == forth_and_back(site, "/app/pickled")
