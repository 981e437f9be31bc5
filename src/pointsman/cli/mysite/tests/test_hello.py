"""The site answers, with the ini and the service list that it is served with."""

import shutil
from pathlib import Path

import pytest
from paste.deploy import loadapp
from webob import Request

ROOT = Path(__file__).parents[1]


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory):
    """Give the application; what it writes goes to a folder of the test."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "deploy.ini", folder)
    shutil.copytree(ROOT / "etc", folder / "etc")
    site = loadapp(f"config:{folder / 'deploy.ini'}")
    yield site
    site.node.close()


def test_hello_greets_who_asks(site):
    """The name of the query is in the answer."""
    answer = Request.blank("/hello?name=Ada").get_response(site)

    assert answer.json == {"hello": "Ada"}


def test_the_site_is_ready(site):
    """Everything that the list names has been loaded."""
    answer = Request.blank("/_pointsman/health/ready").get_response(site)

    assert answer.status_code == 200
