"""What pointsman is called, needs and offers; the pins are in versions.cfg."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

SOURCE = Path(__file__).parent / "src"
# Our own commands are in what is being set up.  They need no more than setuptools.
sys.path.insert(0, str(SOURCE))

from pointsman.setup_commands import Publish, Test  # noqa: E402


def version() -> str:
    """Read ``__version__`` from the source: importing it would need its libraries."""
    text = (SOURCE / "pointsman" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        message = 'src/pointsman/__init__.py has no line __version__ = "…"'
        raise ValueError(message)
    return found[1]


BUILDOUT = ["zc.buildout", "zc.recipe.egg"]
ZODB = ["ZEO", "ZODB", "zodburi"]
# What the services below examples/ import.
EXAMPLES = ["Flask", *ZODB]
TEST = [
    "coverage",
    "hypothesis",
    "import-linter",
    "Jinja2",
    "mypy",
    "Paste",
    "pydantic",
    "pytest",
    "pytest-xdist",
    "ruff",
    "schemathesis",
    "setuptools",
    "types-setuptools",
    "types-waitress",
    "types-WebOb",
]

setup(
    name="pointsman",
    version=version(),
    description="Deploys, upgrades and rolls back services inside running WSGI servers",
    author="pointsman contributors",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["wsgi", "deployment", "hot deploy", "zero downtime"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Web Environment",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI",
        "Topic :: System :: Software Distribution",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={
        "pointsman": ["py.typed"],
        # What `pointsman init` makes.
        "pointsman.cli": [
            "mysite/*",
            "mysite/etc/*",
            "mysite/src/mysite/*.py",
            "mysite/tests/*.py",
        ],
        "pointsman.ledger": ["migrations/*.py", "migrations/versions/*.py"],
    },
    zip_safe=False,
    cmdclass={"publish": Publish, "test": Test},
    install_requires=[
        "alembic",
        "argon2-cffi",
        "click",
        "httpx",
        # WebOb 1.8 imports cgi, which Python 3.13 no longer has.
        'legacy-cgi; python_version >= "3.13"',
        "multipart>=2",
        "packaging",
        "PasteDeploy",
        "prometheus-client",
        "rich",
        "SQLAlchemy>=2",
        # Our runner drains through names that waitress does not promise to keep.
        "waitress==3.0.*",
        "watchfiles",
        "WebOb",
    ],
    extras_require={
        "buildout": BUILDOUT,
        "examples": EXAMPLES,
        "test": [*TEST, *BUILDOUT, *EXAMPLES, "gunicorn"],
        "zodb": ZODB,
    },
    entry_points={
        "paste.app_factory": ["main = pointsman.wsgi:app_factory"],
        "paste.filter_factory": ["main = pointsman.wsgi:filter_factory"],
        "paste.server_runner": [
            "main = pointsman.serving.runner:server_runner",
            "server = pointsman.serving.runner:server_runner",
        ],
        "console_scripts": [
            "paster = pointsman.serving.paster:main",
            "pointsman = pointsman.cli:main",
            "zeo = pointsman.zeo.command:main",
        ],
        "distutils.commands": [
            "publish = pointsman.setup_commands:Publish",
            "test = pointsman.setup_commands:Test",
        ],
        "zc.buildout": [
            "config = pointsman.recipes.config:Config",
            "tree = pointsman.recipes.tree:Tree",
            "zeo = pointsman.recipes.zeo:Zeo",
        ],
    },
)
