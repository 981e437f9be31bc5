"""Short links: a Flask application, in a package with a template.

    curl http://127.0.0.1:8080/links/ -d url=https://www.python.org/

Setting: ``database``, an SQLite file, made when it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, abort, redirect, render_template, request, url_for

from links.store import Links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response


def app_factory(global_conf: Mapping[str, str], database: str) -> Flask:  # noqa: ARG001
    """Make the application (``paste.app_factory``)."""
    app = Flask(__name__)
    links = Links(database)

    @app.get("/")
    def index() -> str:
        return render_template("links.html", links=links.newest(50))

    @app.post("/")
    def add() -> tuple[str, int, dict[str, str]]:
        url = request.form.get("url", "")
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            abort(400, "send the form field url, with an http or https address")
        short = url_for("follow", code=links.add(url), _external=True)
        return f"{short}\n", 201, {"Location": short, "Content-Type": "text/plain"}

    @app.get("/<code>")
    def follow(code: str) -> Response:
        url = links.follow(code)
        return redirect(url) if url else abort(404, "there is no such link")

    return app
