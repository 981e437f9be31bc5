"""The OpenAPI document: it says what the code does, and a stranger's calls agree."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
import waitress.server
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)
from waitress.wasyncore import close_all

from control_surface import Surface
from pointsman.control.application import ROUTES
from pointsman.control.openapi import document
from pointsman.control.schemas import SCHEMAS
from site_folder import SiteFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"
DOCUMENT = document(ROUTES, "/_pointsman")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of each call."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_every_route_is_described() -> None:
    """One description for each call, with a name of its own and a sentence."""
    names = [operation["operationId"] for _, _, operation in operations()]

    assert {(r.method, r.path) for r in ROUTES} == {(m, p) for m, p, _ in operations()}
    assert len(names) == len(set(names))
    assert all(operation["summary"].endswith(".") for _, _, operation in operations())


def test_every_reference_leads_somewhere() -> None:
    """Each schema that is named is there, and none is there for nothing."""
    text = json.dumps(DOCUMENT)
    named = set(re.findall(r"#/components/schemas/(\w+)", text))

    assert set(SCHEMAS) - {"Token"} == named - {"Token"}


def test_every_route_and_parameter_is_explained() -> None:
    """The reference has each call, its parameters and its statuses."""
    text = REFERENCE.read_text("utf-8")
    rows = {
        match[1]: match[2]
        for match in re.finditer(r"^\| `([A-Z]+ [^`]+)` \| (.*)$", text, re.MULTILINE)
    }
    for route in ROUTES:
        row = rows[f"{route.method} {route.path}"]
        for field in route.query:
            assert re.search(rf"[?&`]{field.name}[=`]", row), (route.path, field.name)
        assert row.startswith(f"{route.role or 'none'} |")
        for status in (*route.answers, *route.refusals):
            assert f"| {status} |" in text


def test_it_is_served(site: SiteFolder) -> None:
    """Anybody may read it; it names where it was asked."""
    surface = Surface(site.host(control__path="/admin"))
    found = surface.document("GET", "/openapi.json", token="", base="/admin")

    assert document(ROUTES, "/admin") == found


# A STRANGER'S CALLS


@pytest.fixture(name="surface", scope="module")
def _surface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    site = SiteFolder(tmp_path_factory.mktemp("openapi"))
    with pytest.MonkeyPatch.context() as patch:  # many of its tokens are wrong
        patch.setattr("pointsman.control.throttle.delay_after", lambda _: 0.0)
        surface = Surface(site.host())
        surface.put("crm", "one")
        surface.put("crm", "two")
        yield surface
        site.close()


@pytest.fixture(name="url", scope="module")
def _url(surface: Surface) -> Iterator[str]:
    """Give the address of a server that serves it."""
    server: Any = waitress.server.create_server(
        surface.host, host="127.0.0.1", port=0, threads=4
    )
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}/_pointsman"
    # In its own thread, as it watches what it closes.
    server.trigger.pull_trigger(lambda: close_all(server._map))
    thread.join()
    server.task_dispatcher.shutdown()


# Each call gets as many; all of them take about 20 s.
_EXAMPLES = 12


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_calls_of_a_stranger(surface: Surface, url: str, route: Any) -> None:
    """What schemathesis makes of the document is answered as the document says.

    Valid and invalid parameters, headers and bodies; statuses, types and documents
    that are described; no 5xx of ours; nothing invalid is taken for done.
    """
    headers = {"Authorization": f"Bearer {surface.token}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operation = schema[route.path][route.method]

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of(
            [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
        )
    )
    def call(case: schemathesis.Case[Any]) -> None:
        excluded = [positive_data_acceptance, unsupported_method]
        if "If-Match" in (case.headers or {}):  # 412 comes before bodies are read
            excluded.append(negative_data_rejection)
        case.call_and_validate(headers=headers, base_url=url, excluded_checks=excluded)

    call()
