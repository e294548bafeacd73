"""Presence with a store in memory and counted entity tags, for tests."""

from __future__ import annotations

from typing import Any

from rvoip.protocols.sip.pidf import Note, Presence, Tuple
from rvoip.registrar import presence
from rvoip.registrar.binding import Binding
from rvoip.registrar.publication import Publish, Published
from rvoip.registrar.stores.presence_memory import PresenceMemory

NOW = 1000.0
WALL = 1_700_000_000.0
ALICE = "alice@example.test"
BOB = "bob@example.test"
CAROL = "carol@elsewhere.test"


def pidf(basic: str = "open", note: str = "", id_: str = "t", **more: Any) -> bytes:
    """A document of one tuple."""
    notes = (Note(note),) if note else ()
    return Presence("pres:whoever", (Tuple(id_, basic, **more),), notes).to_bytes()


def publish(body: bytes = b"", etag: str | None = None, **more: Any) -> Publish:
    """A PUBLISH of Alice's presence."""
    given: dict[str, Any] = {
        "package": "presence",
        "presentity": ALICE,
        "content_type": "application/pidf+xml" if body else "",
        **more,
    }
    return Publish(body=body, etag=etag, **given)


class Scene:
    """`changes` are what was told, `bindings` what the registrar knows."""

    def __init__(
        self, store: Any = None, *, now: float = NOW, wall_now: float = WALL, **options: Any
    ) -> None:
        self.changes: list[tuple[str, str]] = []
        self.bindings: dict[str, tuple[Binding, ...]] = {}
        self.tags = 0
        self.state = presence.Presence(
            store or PresenceMemory(),
            lambda aor, now: self.bindings.get(aor, ()),
            self.new_tag,
            changed=lambda package, aor: self.changes.append((package, aor)),
            **options,
        )
        self.state.open(now, wall_now)

    def new_tag(self) -> str:
        self.tags += 1
        return f"tag{self.tags}"

    def publish(self, *args: Any, now: float = NOW, **more: Any) -> Published:
        """The answer, which comes at once."""
        answer = self.state.publish(publish(*args, **more), now)
        assert isinstance(answer, Published)
        return answer

    def document(
        self, package: str, resource: str, watcher: str, now: float = NOW, version: int = 0
    ) -> bytes:
        """The body, of the Content-Type of its package."""
        found = self.state.document(package, resource, watcher, now, version)
        assert isinstance(found, presence.Document), found
        assert found.content_type == presence.CONTENT_TYPES[package]
        return found.body

    def told(self) -> list[tuple[str, str]]:
        """What was told since the last call."""
        changes, self.changes = self.changes, []
        return changes
