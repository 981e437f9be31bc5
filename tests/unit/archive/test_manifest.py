"""The manifest of an archive: every key, and every mistake with its own sentence.

Each check of `archive.manifest` was taken out in turn; a test here failed for each.
"""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.archive.manifest import Manifest, parse_manifest
from pointsman.archive.unfit import Unfit
from pointsman.model import Declared


def test_the_example() -> None:
    """The manifest of the reference is read, comments behind values and all."""
    manifest = parse_manifest("""
[package]
name = crm
version = 1.2.0
isolation = namespace        # namespace | process

# one section per service
[service:crm.customer]     # its name
use = crm.web:app          # module:callable
path = /crm
page_size = 50             # anything else is a setting
colour = #fff
[service:crm.report]
use = crm.reports:make.report
factory = yes
""")
    settings = (("page_size", "50"), ("colour", "#fff"))

    assert manifest == Manifest(
        "crm",
        "1.2.0",
        "namespace",
        (
            Declared("crm.customer", "crm.web:app", "/crm", False, settings),  # noqa: FBT003
            Declared("crm.report", "crm.reports:make.report", "", True),  # noqa: FBT003
        ),
    )


def test_the_shortest() -> None:
    """A name is enough: version, isolation and services need not be there."""
    assert Manifest("crm-core") == parse_manifest("[package]\nname=crm-core")


def test_values_are_taken_as_they_stand() -> None:
    """Nothing is interpolated, keys keep their capitals, values their lines."""
    manifest = parse_manifest(
        "[package]\r\nname = crm\r\n[service: crm]\r\nuse = crm:app\r\n"
        "Format = %(name)s %d ${x} ; a = b\r\n"
        "text =\r\n  one\r\n\r\n  two\r\nnone =\r\n"
    )
    (service,) = manifest.declared

    assert (
        ("Format", "%(name)s %d ${x} ; a = b"), ("text", "\none\n\ntwo"), ("none", "")
    ) == service.settings  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no section [package] with the name of the package"),
        (
            "[packge]\nname=x",
            (
                "no section [package] with the name of the package; did "
                "you mean 'packge'?"
            ),
        ),
        ("[package]\n", "[package] has no name; write name = NAME"),
        ("[package]\nname=\n", "[package] has no name; write name = NAME"),
        ("[package]\nnme=x", "[package]: there is no key 'nme'; did you mean 'name'?"),
        ("[package]\nName=x", "there is no key 'Name'; did you mean 'name'?"),
        (
            "[package]\nname=x\nisolaton=process",
            ("no key 'isolaton'; did you mean 'isolation'?"),
        ),
        ("[package]\nname=x\nauthor=me", "there is no key 'author'"),
        ("[package]\nname=../x", "name = '../x' cannot be a package's name"),
        ("[package]\nname=a/b", "cannot be a package's name"),
        ("[package]\nname=.x", "cannot be a package's name"),
        ("[package]\nname=сrm", "name = '\\u0441rm' cannot be a package's name"),
        ("[package]\nname=c r m", "cannot be a package's name"),
        ("[package]\nname=" + "x" * 300, "cannot be a package's name"),
        ("[package]\nname=a\0b", "the character '\\x00', which cannot be seen"),
        ("[package]\nname=x\nversion=1 0", "version = '1 0': letters, digits"),
        ("[package]\nname=x\nversion=<b>", "version = '<b>': letters, digits"),
        ("[package]\nname=x\nversion=" + "1" * 101, "at most 100 of them"),
        (
            "[package]\nname=x\nisolation=proces",
            (
                "isolation = proces: accepted are "
                "namespace and process; did you mean 'process'?"
            ),
        ),
        (
            "[package]\nname=x\n[sevice:a]\nuse=a:b",
            ("there is no section [sevice:a]; did you mean 'service:a'?"),
        ),
        ("[package]\nname=x\n[service a]\nuse=a:b", "did you mean 'service:a'?"),
        ("[package]\nname=x\n[DEFAULT]\na=b", "there is no section [DEFAULT]"),
        ("[package]\nname=x\n[app:main]\na=b", "there is no section [app:main]"),
        (
            "[package]\nname=x\n[service:a b]\nuse=a:b",
            ("[service:a b] 'a b' cannot be a service's name"),
        ),
        ("[package]\nname=x\n[service:]\nuse=a:b", "'' cannot be a service's name"),
        ("[package]\nname=x\n[service:é]\nuse=a:b", "'\\xe9' cannot be a service's"),
        (
            "[package]\nname=x\n[service:a]\npath=/a",
            ("[service:a] has no key 'use'; write use = module:callable"),
        ),
        (
            "[package]\nname=x\n[service:a]\nusse=a:b",
            ("'use' ('usse' may be meant to be it)"),
        ),
        ("[package]\nname=x\n[service:a]\nuse=a", "use: 'a' is no module:callable"),
        ("[package]\nname=x\n[service:a]\nuse=a:", "is no module:callable"),
        ("[package]\nname=x\n[service:a]\nuse=a.:b", "is no module:callable"),
        ("[package]\nname=x\n[service:a]\nuse=a:b()", "is no module:callable"),
        ("[package]\nname=x\n[service:a]\nuse=../a:b", "is no module:callable"),
        ("[package]\nname=x\n[service:a]\nuse=é:b", "is no module:callable"),
        ("[package]\nname=x\n[service:a]\nuse=a:b\npath=a", "path = a: "),
        (
            "[package]\nname=x\n[service:a]\nuse=a:b\nfactory=maybe",
            ("factory = maybe: accepted are yes and no"),
        ),
        (
            "[package]\nname=x\n[service:a]\nuse=a:b\n[service: a]\nuse=a:b",
            "[service:a] is there twice",
        ),
        ("[package]\nname=x\n[package]\nname=y", "line 3: [package] is there twice"),
        ("[package]\nname=x\nname=y", "line 3: [package] has the key 'name' twice"),
        ("[package]\nname=x\n  [a\n= 5", "line 4: '= 5' is no key = value"),
        ("name=x", "line 1: a section is needed first, [package]"),
        ("[package]\nname=x\njust text", "line 3: 'just text' is no key = value"),
    ],
)
def test_mistakes(text: str, reason: str) -> None:
    """A mistake is told with file, section, key, and what is accepted."""
    with pytest.raises(Unfit) as caught:
        parse_manifest(text)

    assert reason in str(caught.value)
    assert str(caught.value).startswith("service.ini: ")


@pytest.mark.parametrize(
    ("word", "factory"),
    [("yes", True), ("True", True), ("on", True), ("no", False), ("0", False)],
)
def test_words_for_a_factory(word: str, *, factory: bool) -> None:
    """The same words mean yes and no as in the ini of the host."""
    text = f"[package]\nname=x\n[service:a]\nuse=a:b\nfactory={word}"

    assert factory == parse_manifest(text).declared[0].factory


NAMES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=20)
WORDS = st.text(
    st.characters(
        exclude_categories=["C", "Z"], exclude_characters="=:[]#", max_codepoint=0x2FF
    ),
    min_size=1,
    max_size=9,
)
SETTINGS = st.dictionaries(
    WORDS.filter(lambda word: word not in ("use", "path", "factory", ";")), WORDS
)


@given(NAMES, st.dictionaries(NAMES, SETTINGS, max_size=3))
def test_what_is_written_is_read(
    name: str, services: dict[str, dict[str, str]]
) -> None:
    """Any settings of any services come out as they went in."""
    lines = ["[package]", f"name = {name}"]
    for service, settings in services.items():
        lines += [f"[service:{service}]", "use = a.b:c"]
        lines += [f"{k} = {v}" for k, v in settings.items() if k[0] != ";"]
    read = parse_manifest("\n".join(lines))

    assert name == read.name
    assert {
        service: {k: v for k, v in settings.items() if k[0] != ";"}
        for service, settings in services.items()
    } == {one.name: dict(one.settings) for one in read.declared}


PIECES = st.sampled_from(
    [
        *("[package]", "name = x", "[service:a]", "use = a:b", "=", "\n", "  ", "\t"),
        *("[", "]", "#", ";", " # ", "%(a)s", "\0", "\r", "\x85", "é", ":", "use"),
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=25).map("".join))
def test_any_text(text: str) -> None:
    """Whatever text there is, it is a manifest, or is refused with a sentence."""
    try:
        told = "service.ini: " + parse_manifest(text).name
    except Unfit as unfit:
        told = str(unfit)

    assert told.startswith("service.ini: ")
