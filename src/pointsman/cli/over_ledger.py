"""A cluster, reached through its ledger: no server is asked.  Effects.

Where nodes serve, this only proposes and waits for them.  Where none does, nobody
would vote: then this process becomes a node for as long as the command takes.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

from pointsman.artifacts import Artifacts
from pointsman.cli import account, rehearsing
from pointsman.cli.ledger_view import LedgerView
from pointsman.cli.voters import Voters
from pointsman.cluster import Actor
from pointsman.control import documents, people, users
from pointsman.control.authentication import digest_of, new_token
from pointsman.deployments import Deployments
from pointsman.errors import Refused
from pointsman.ledger import ledger_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pointsman.cli.progress import Progress
    from pointsman.cli.reached import Change, Document
    from pointsman.cli.sections import Section
    from pointsman.cli.uploads import Upload
    from pointsman.cluster import Entry, Proposed


class OverLedger(LedgerView):
    """Works with the ledger itself; see `reached.Reached`.

    Whoever can write the ledger may do everything: no token is asked for.
    """

    def __init__(self, section: Section, tell: Callable[[str], None]) -> None:
        """Open the ledger; ``tell`` hears what people should know.

        Raises:
            LedgerError: it cannot be used.
            ReleaseError: it belongs to nobody whom this system knows.

        """
        settings = section.settings
        self._actor = Actor(f"cli {account.person()}", socket.gethostname())
        account.become_owner_of(settings.work_dir)
        self._timeout = settings.deploy_timeout
        self._ledger = ledger_of(settings)
        self._voters = Voters(self._ledger, section, tell)
        self._deployments = Deployments(
            self._ledger,
            Artifacts(self._ledger, settings.work_dir / "artifacts"),
            uploads=settings.work_dir / "uploads",
            limit=settings.upload_limit,
            timeout=settings.deploy_timeout,
            importers=self._voters.importers,
        )

    @property
    def url(self) -> str:
        """Return which ledger it is, without the password."""
        return self._ledger.url

    def close(self) -> None:
        """Stop voting, and let go of the ledger."""
        with _quiet():
            self._voters.close()
        self._ledger.close()

    # CHANGES

    def deploy(
        self,
        uploads: Sequence[Upload],
        remove: Sequence[str],
        change: Change,
        progress: Progress,
    ) -> Document:
        """Deploy and remove packages; see `reached.Reached`."""
        entries = self._received(uploads, progress)
        return self._changed(self._deployments.deploy, change, entries, remove=remove)

    def undeploy(
        self, names: Sequence[str], change: Change, *, cascade: bool
    ) -> Document:
        """Take packages away; see `reached.Reached`."""
        undeploy = self._deployments.undeploy
        return self._changed(undeploy, change, names, cascade=cascade)

    def rollback(self, package: str, to: str | None, change: Change) -> Document:
        """Go back with one package; see `reached.Reached`."""
        return self._changed(self._deployments.rollback, change, package, to=to)

    def rollback_to(self, number: int, change: Change) -> Document:
        """Go back to a whole generation; see `reached.Reached`."""
        return self._changed(self._deployments.rollback_to, change, number)

    def stop(self, services: Sequence[str], change: Change) -> Document:
        """Let services answer 503; see `reached.Reached`."""
        stop = self._deployments.stop_services
        return self._changed(stop, change, services, known=self.service_names)

    def start(self, services: Sequence[str], change: Change) -> Document:
        """Let stopped services answer again; see `reached.Reached`."""
        start = self._deployments.start_services
        return self._changed(start, change, services, known=self.service_names)

    def _changed(
        self,
        propose: Callable[..., Proposed],
        change: Change,
        subject: Any,
        **options: Any,
    ) -> Document:
        """Propose something, and wait as long as the change allows."""
        with _quiet():
            self._voters.be_one()
            if "known" in options:  # only a node of our own may know the services
                options["known"] = options["known"]()
            proposed = propose(
                subject,
                self._actor,
                note=change.note,
                if_match=change.if_match,
                **options,
            )
            if self._voters.own is None and not change.wait:
                return self._as_proposed(proposed)
            seconds = change.wait or self._timeout
            try:
                result = self._deployments.decide(proposed, seconds)
            except KeyboardInterrupt:
                self._ledger.abort(
                    proposed.number, "whoever proposed it pressed Ctrl-C"
                )
                raise
            document = documents.deployment(result)
        return {**document, "served": bool(self._voters.alive())}

    def _as_proposed(self, proposed: Proposed) -> Document:
        found = self._deployments.generation(proposed.number)
        document = documents.generation(found)
        unchanged = proposed.unchanged
        return {**document, "unchanged": unchanged, "timed_out": False, "late": []}

    def _received(
        self, uploads: Sequence[Upload], progress: Progress
    ) -> tuple[Entry, ...]:
        return tuple(
            self._deployments.receive(
                one.name, one.chunks(progress.sending(one)), package=one.package
            )
            for one in uploads
        )

    def plan(
        self, uploads: Sequence[Upload], remove: Sequence[str], progress: Progress
    ) -> Document:
        """Return what a deployment would do; see `reached.Reached`."""
        with _quiet():
            self._voters.be_one()  # it knows who imports from whom
            entries = self._received(uploads, progress)
            return documents.plan(self._deployments.plan(entries, remove))

    # NODES

    def drain(self, node: str) -> Document:
        """Let a node take no new requests; see `reached.Reached`."""
        return self._moved(node, self._ledger.drain(node, self._actor))

    def resume(self, node: str) -> Document:
        """End that; see `reached.Reached`."""
        return self._moved(node, self._ledger.resume(node, self._actor))

    def _moved(self, node: str, changed: bool) -> Document:  # noqa: FBT001
        for one in self.nodes()["nodes"]:
            if one["node"] == node:
                return {**one, "changed": changed}
        raise Refused(404, "Not Found", f"the node {node!r} has just ended")

    # PEOPLE

    def create_token(
        self, name: str, role: str, packages: Sequence[str], lasts: float | None
    ) -> Document:
        """Make a token; see `reached.Reached`."""
        secret = new_token()
        body = {
            "name": name,
            "role": role,
            "packages": list(packages),
            "expires_in": lasts,
        }
        wanted = people.token_wanted(body, self._ledger.observe("").now)
        made = self._ledger.create_token(wanted, digest_of(secret), self._actor)
        return {**documents.token(made, made.created_at), "token": secret}

    def revoke_token(self, name: str) -> Document:
        """Revoke a token; see `reached.Reached`."""
        if not self._ledger.revoke_token(name, self._actor):
            detail = f"there is no token {name!r} that is not revoked"
            raise Refused(404, "Not Found", detail)
        return {"revoked": name}

    def create_user(self, name: str, role: str, password: str) -> Document:
        """Make a user; see `reached.Reached`."""
        body = {"name": name, "role": role, "password": password}
        wanted = users.user_wanted(body)
        return documents.user(self._ledger.create_user(wanted, self._actor))

    def change_password(self, name: str, password: str) -> Document:
        """Give a user another password; see `reached.Reached`."""
        made = users.hash_of(password)
        if not self._ledger.change_password(name, made, self._actor):
            raise users.nobody(name)
        return {"changed": name}

    def remove_user(self, name: str) -> Document:
        """Remove a user; see `reached.Reached`."""
        if not self._ledger.remove_user(name, self._actor):
            raise users.nobody(name)
        return {"removed": name}

    def lock(self, reason: str) -> Document:
        """Freeze deployments; see `reached.Reached`."""
        wanted = people.reason_wanted(reason)
        return documents.lock(self._ledger.lock(self._actor, wanted))

    def unlock(self, *, force: bool) -> Document:
        """End that; see `reached.Reached`."""
        return {"unlocked": self._ledger.unlock(self._actor, force=force)}

    # THE REST

    def reload(self, *, confirm_removals: bool, wait: float) -> Document:
        """Let every node read its sources; see `reached.Reached`."""
        request = self._ledger.request_reload(
            self._actor, confirm_removals=confirm_removals
        )
        found = self._voters.reloaded(request, wait)
        document: Document = {
            "nodes": [{"node": node, "reload": each} for node, each in found.items()],
            "late": [node for node, each in found.items() if each is None],
        }
        failed = [node for node, each in found.items() if each and each["failed"]]
        if failed:
            names = ", ".join(failed)
            document["detail"] = f"not all was loaded, and goes on as it was: {names}"
        return document


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep out of standard output what services print while they are loaded."""
    with rehearsing.silence(), contextlib.redirect_stdout(sys.stderr):
        yield
