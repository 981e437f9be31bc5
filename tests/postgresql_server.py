"""A PostgreSQL of our own: on a socket in a temporary folder, and gone with us.

It runs as an unprivileged user, since it refuses root, and never is one that somebody
else runs.  What it writes is not synchronised: no test is about its disk.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from pointsman.ledger import schema
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "postgresql"
_FAST = ("fsync=off", "full_page_writes=off")
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


_ENDS = """
SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def _empties() -> str:
    """Return what makes a ledger as it was when it was new; it fails if it is none."""
    kept = ("schema", "alembic_version")
    tables = [t for t in reversed(schema.metadata.sorted_tables) if t.name not in kept]
    return ";".join(
        [
            # Of another version, they are not those of the next test.
            f"SELECT 1 / (version = {schema.VERSION})::int FROM schema",
            *(f'DELETE FROM "{table.name}"' for table in tables),
            "INSERT INTO cluster (id) VALUES (1)",
            "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'",
        ]
    )


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, which Debian hides."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return require(str(found[-1]) if found else name, PACKAGE)


class PostgresqlServer:
    """One server; ``close`` ends it.  It dies with the thread that has started it.

    With ``listen`` it can be reached at that address, too, by everybody who can send
    packets to it; ``prefix`` is a command that runs commands.  One that is ``durable``
    writes to a disk, and waits for that, as those do whose figures count.
    """

    def __init__(
        self,
        *,
        listen: str = "",
        port: int = 5432,
        prefix: tuple[str, ...] = (),
        durable: bool = False,
    ) -> None:
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.getuid())[0]
        self.port, self._listen = port, listen
        self._speed = () if durable else _FAST
        where = None if durable else _MEMORY
        self.folder = Path(tempfile.mkdtemp(dir=where, prefix="postgresql-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix = prefix
        self._names = itertools.count(1)
        self._free: list[str] = []
        self.last = ""  # which database was made last
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        self._make()

    def _make(self) -> None:
        options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        command = [program("initdb"), *options, "-U", "postgres", "-D", str(self.data)]
        subprocess.run(
            self._as_user(command),
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if self._listen:
            with (self.data / "pg_hba.conf").open("a") as access:
                access.write("host all all 0.0.0.0/0 trust\n")

    def _as_user(self, command: list[str]) -> list[str]:
        dies = [require("setpriv", "util-linux"), "--pdeathsig=QUIT"]
        if os.geteuid() == 0:
            dies += [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        return [*dies, *command]

    # PROCESS

    def start(self) -> None:
        """Run it, and wait until it answers."""
        settings = [
            *self._speed,
            f"listen_addresses={self._listen}",
            f"port={self.port}",
        ]
        settings += [f"unix_socket_directories={self.folder}", "max_connections=900"]
        command = [program("postgres"), "-D", str(self.data)]
        command += [word for one in settings for word in ("-c", one)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *self._as_user(command)],
                cwd="/",
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        wait_for(self._answers, "PostgreSQL answers", 60)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(self.dsn()).close()
            return True
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once with SIGINT, as after a crash with SIGQUIT."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, and run it again."""
        self.stop(how)
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes, as when its machine hangs; TCP answers for it."""
        assert self.process is not None
        parent = self.process.pid
        os.kill(parent, signal.SIGSTOP)  # first: it starts no more
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        family = [*map(int, children.split()), parent]
        try:
            for pid in family:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and leave nothing behind."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    # DATABASES

    def dsn(self, database: str = "postgres") -> str:
        """Return what libpq connects with, on the socket."""
        return (
            f"host={self.folder} port={self.port} user=postgres dbname={database} "
            "connect_timeout=5"
        )

    def url(self, database: str, host: str = "") -> str:
        """Return the URL of a database, by default on the socket."""
        where = f"{host}:{self.port}" if host else ""
        socket = "" if host else f"?host={quote(str(self.folder))}&port={self.port}"
        return f"postgresql://postgres@{where}/{database}{socket}"

    @contextlib.contextmanager
    def connected(self, database: str = "postgres") -> Iterator[Any]:
        """Connect, as an operator does, without transactions."""
        connection = psycopg.connect(self.dsn(database), autocommit=True)
        try:
            yield connection
        finally:
            connection.close()

    def create(self) -> str:
        """Return the name of an empty database."""
        if self._free:
            return self._free.pop()
        name = self.last = f"ledger{next(self._names)}"
        with self.connected() as connection:
            create = "CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy"
            connection.execute(sql.SQL(create).format(sql.Identifier(name)))
        return name

    def give_back(self, name: str) -> None:
        """Empty a database that nobody needs any more; the next may have it.

        Its tables stay, if they are ours: to make them again would take longer than
        most tests do.
        """
        with self.connected(name) as connection:
            connection.execute(_ENDS)
            try:
                connection.execute(_empties())
            except psycopg.Error:
                connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self._free.append(name)


@functools.cache
def shared() -> PostgresqlServer:
    """Return the one server of this test process, started when it is first needed."""
    server = PostgresqlServer()
    atexit.register(server.close)
    server.start()
    return server
