"""What files of an archive may be called.

Each check of `archive.names` was taken out in turn; at least one test here, or one in
``test_containers``, failed for each of them.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointsman.archive.names import check_name, check_names
from pointsman.archive.unfit import Unfit


@pytest.mark.parametrize(
    "name",
    [
        "service.ini",
        "crm/web.py",
        "crm/templates/a b (1).html",
        "crm/locale/sr@latin/x.mo",
        "crm/Übersicht.txt",
        "crm/日本.txt",
        "crm/w b+{{x}}.py",
        "a/.hidden",
        "a/..x",
        "a/x..",
        "x" * 200,
        "/".join(["x" * 99] * 10),
        "crm/__init__.py",
        "folder/",
        "crm-1.0.dist-info/METADATA",
    ],
)
def test_names_that_are_taken(name: str) -> None:
    """Ordinary paths are taken, with blanks and letters of any language."""
    check_names([name])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "absolute path"),
        ("//x", "absolute path"),
        ("C:/x", "absolute path"),
        ("c:x", "absolute path"),
        ("", "absolute path"),
        ("/", "absolute path"),
        ("..", "leads to a parent folder"),
        ("../x", "leads to a parent folder"),
        ("a/../../x", "leads to a parent folder"),
        ("a/../b", "leads to a parent folder"),
        ("a/..", "leads to a parent folder"),
        ("a//b", "not in its shortest form"),
        ("./a", "not in its shortest form"),
        ("a/./b", "not in its shortest form"),
        ("a/.", "not in its shortest form"),
        ("a//", "not in its shortest form"),
        ("..\\x", "backslash"),
        ("a\\b", "backslash"),
        ("a\0b", "cannot be seen"),
        ("crm.py\0.txt", "cannot be seen"),
        ("a\nb", "cannot be seen"),
        ("a\x7f", "cannot be seen"),
        ("invoice\u202ecod.txt", "cannot be seen"),  # right to left
        ("a\u200bb", "cannot be seen"),  # no width
        ("a\ue000", "cannot be seen"),  # for private use
        ("a\uff0fb", "look like / or ."),  # fullwidth solidus
        ("a\uff3cb", "look like / or ."),  # fullwidth backslash
        ("\uff0e\uff0e/x", "look like / or ."),  # fullwidth full stops
        ("\u2025/x", "look like / or ."),  # two dot leader
        ("a/\u2024/x", "look like / or ."),  # one dot leader
        ("\u2100", "look like / or ."),  # account of: a/c
        ("сrm/web.py", "the path of a module"),  # a Cyrillic es
        ("crm/wеb.py", "the path of a module"),
        ("x" * 201, "is too long"),
        ("a/" + "x" * 300, "is too long"),
        ("ü" * 101, "is too long"),
        ("/".join(["x" * 99] * 11), "is too long"),
    ],
)
def test_names_that_are_refused(name: str, reason: str) -> None:
    """Names that lead out, deceive, or fit into no file system are refused."""
    with pytest.raises(Unfit, match=reason) as caught:
        check_names([name])

    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "a"], "'a' is in it twice"),
        (["a/", "a/"], "'a/' is in it twice"),
        (["a", "A"], "'a' and 'A' are one name"),
        (["a/b", "A/c"], "'a' and 'A' are one name"),
        (["a/", "A/c"], "'a' and 'A' are one name"),
        (["crm/Web.py", "crm/web.py"], "are one name"),
        (["stra\xdfe", "STRASSE"], "are one name"),
        (["\xfc", "u\u0308"], "are one name"),  # composed, decomposed
        (["\ufb01x", "fix"], "are one name"),  # a ligature
        (["\u212a", "k"], "are one name"),  # the sign of kelvin
        (["a", "a/"], "are one name"),
        (["a", "a/b"], "'a' is a file, and the folder of 'a/b' as well"),
        (["a/b/c", "a/b"], "'a/b' is a file, and the folder of 'a/b/c' as well"),
        (["a", "A/b"], "'A' is a file, and the folder of 'A/b' as well"),
    ],
)
def test_names_that_collide(names: list[str], reason: str) -> None:
    """Two names that are one for some file system are refused, also as folders."""
    for order in (names, names[::-1]):
        with pytest.raises(Unfit) as caught:
            check_names(order)

    assert reason.rsplit("'", maxsplit=1)[-1] in str(caught.value)


def test_names_beside_each_other() -> None:
    """Files in one folder, and names that only begin alike, do not collide."""
    check_names(["a/", "a/b", "a/c", "ab", "ab.c", "b/a/x", "b/ab"])


PATHS = st.lists(
    st.one_of(
        st.sampled_from(
            ["..", ".", "", "a", "A", "C:", "x.py", "\0", "ﬁ", "．．", "／"]
        ),
        st.text(max_size=6),
    ),
    max_size=4,
).map("/".join)


@given(PATHS)
@example("a/../../../x")
def test_no_name_leads_out(name: str) -> None:
    """Whatever is taken stays inside, under the rules of all systems and forms."""
    try:
        check_name(name)
    except Unfit:
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        path = unicodedata.normalize(form, name)
        inside = posixpath.normpath(posixpath.join("/srv/inside", path))

        assert inside.startswith("/srv/inside/")
        assert ".." not in PurePosixPath(path).parts
        windows = PureWindowsPath(path)
        assert not windows.is_absolute()
        assert not windows.drive
        assert ".." not in windows.parts
    assert all(
        0 < len(os.fsencode(part)) <= 200 for part in name.rstrip("/").split("/")
    )


@given(st.lists(PATHS, max_size=5))
def test_what_is_taken_is_told_apart(names: list[str]) -> None:
    """No two names that are taken are one where capitals do not count."""
    try:
        check_names(names)
    except Unfit:
        return
    alike = {unicodedata.normalize("NFKC", n).casefold().rstrip("/") for n in names}

    assert len(names) == len(alike)
