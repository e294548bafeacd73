"""Who sees what of whom: documents, policy, watchers, lists."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.dialog_info import DialogInfo, DialogState, parse_dialog_info
from rvoip.protocols.sip.message_summary import Counts, MessageSummary, parse_message_summary
from rvoip.protocols.sip.mime import parse_multipart
from rvoip.protocols.sip.pidf import DATA_MODEL, RPID, Presence, Tuple, parse_pidf
from rvoip.protocols.sip.reginfo import RegInfo, parse_reginfo
from rvoip.protocols.sip.rlmi import parse_rlmi
from rvoip.protocols.sip.winfo import WatcherInfo, parse_winfo
from rvoip.protocols.sip.xml import Element
from rvoip.registrar.binding import Binding
from rvoip.registrar.buddy_lists import Buddy, BuddyList
from rvoip.registrar.errors import StoreError
from rvoip.registrar.presence import Document
from rvoip.registrar.presence_policy import Decision, PresencePolicy, Rule
from rvoip.registrar.stores.presence_memory import PresenceMemory
from rvoip.test.registrar.presence_scene import ALICE, BOB, CAROL, NOW, Scene, pidf, publish

FRIENDS = "friends@example.test"


class PresenceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.state = self.scene.state

    def presence(self, watcher: str = ALICE, of: str = ALICE, now: float = NOW) -> Presence:
        return parse_pidf(self.scene.document("presence", of, watcher, now))


class CompositionTests(PresenceCase):
    def test_nothing_published(self) -> None:
        self.assertEqual(self.presence(), Presence(f"sip:{ALICE}", (Tuple("none", "closed"),)))

    def test_union(self) -> None:
        """Of several devices all tuples and notes; an id that two have chosen is changed for one."""
        self.scene.publish(pidf("open", "here", contact="sip:a@1"))
        self.scene.publish(pidf("closed", "there", contact="sip:a@2"))
        self.scene.publish(pidf("open", "here", id_="x"))
        found = self.presence()
        self.assertEqual(found.entity, f"sip:{ALICE}")
        self.assertEqual(
            [(each.id, each.basic) for each in found.tuples], [("t", "open"), ("t_", "closed"), ("x", "open")]
        )
        self.assertEqual([note.text for note in found.notes], ["here", "there"])
        self.assertTrue(found.is_open)

    def test_the_last_person_counts(self) -> None:
        for number, activity in enumerate(("meeting", "away")):
            person = Element(DATA_MODEL, "person", {"id": f"p{number}"})
            activities = Element(RPID, "activities", {"id": "a"}, "", [Element(RPID, activity)])
            person.children = [activities, Element(DATA_MODEL, "note", {}, f"note {number}")]
            self.scene.publish(Presence("sip:x", (), (), (person,)).to_bytes())
        (person,) = self.presence().persons
        self.assertEqual(person.content("note"), "note 1")
        self.assertEqual([each.text for each in self.presence().all_notes], ["note 1"])

    def test_expired_is_not_shown(self) -> None:
        self.scene.publish(pidf(), expires=60)
        self.assertTrue(self.presence(now=NOW + 59).is_open)
        self.assertFalse(self.presence(now=NOW + 60).is_open)


class PolicyTests(PresenceCase):
    def setUp(self) -> None:
        super().setUp()
        self.scene.publish(pidf("open", "secret"))
        self.scene.told()

    def test_decisions(self) -> None:
        """Nobody sees more than was decided."""
        for decision, sees in (
            (Decision.ALLOW, True),
            (Decision.CONFIRM, False),
            (Decision.POLITE, False),
        ):
            self.state.set_rule(Rule(ALICE, BOB, decision))
            self.assertEqual(self.state.decision("presence", ALICE, BOB), decision)
            self.assertEqual(self.presence(BOB).is_open, sees)
            self.assertEqual(bool(self.presence(BOB).notes), sees)
        self.state.set_rule(Rule(ALICE, BOB, Decision.DENY))
        self.assertIsNone(self.state.document("presence", ALICE, BOB, NOW))
        self.state.drop_rule(ALICE, BOB)
        self.assertEqual(self.state.decision("presence", ALICE, BOB), Decision.CONFIRM)

    def test_told(self) -> None:
        """A decision changes what watchers get, of presence and dialogs."""
        self.state.set_rule(Rule(ALICE, BOB, Decision.ALLOW))
        self.assertEqual(self.scene.told(), [("presence", ALICE), ("dialog", ALICE)])
        self.state.drop_rule(ALICE, BOB)
        self.assertEqual(self.scene.told(), [("presence", ALICE), ("dialog", ALICE)])
        self.state.drop_rule(ALICE, BOB)
        self.assertEqual(self.scene.told(), [])

    def test_the_nearest_rule_counts(self) -> None:
        for rule in (
            Rule(ALICE, "*", Decision.DENY),
            Rule(ALICE, "*@example.test", Decision.POLITE),
            Rule(ALICE, BOB, Decision.ALLOW),
        ):
            self.state.set_rule(rule)
        for watcher, expected in (
            (BOB, Decision.ALLOW),
            ("eve@example.test", Decision.POLITE),
            (CAROL, Decision.DENY),
            ("", Decision.DENY),
            (ALICE, Decision.ALLOW),
        ):
            self.assertEqual(self.state.decision("presence", ALICE, watcher), expected, watcher)
            self.assertEqual(self.state.decision("dialog", ALICE, watcher), expected, watcher)
        self.assertEqual(
            [each.watcher for each in self.state.policy.rules(ALICE)], ["*", "*@example.test", BOB]
        )

    def test_defaults(self) -> None:
        for package, watcher, expected in (
            ("presence", BOB, Decision.CONFIRM),
            ("presence", "", Decision.CONFIRM),
            ("dialog", BOB, Decision.ALLOW),
            ("dialog", CAROL, Decision.DENY),
            ("dialog", "", Decision.DENY),
            ("message-summary", BOB, Decision.DENY),
            ("reg", BOB, Decision.DENY),
            ("presence.winfo", BOB, Decision.DENY),
            ("presence.winfo", ALICE, Decision.ALLOW),
            ("unknown", BOB, Decision.DENY),
        ):
            self.assertEqual(self.state.decision(package, ALICE, watcher), expected, (package, watcher))

    def test_a_rule_opens_no_other_package(self) -> None:
        self.state.set_rule(Rule(ALICE, BOB, Decision.ALLOW))
        for package in ("message-summary", "reg", "presence.winfo"):
            self.assertIsNone(self.state.document(package, ALICE, BOB, NOW), package)

    def test_many_rules(self) -> None:
        scene = Scene(policy=PresencePolicy(max_rules=2))
        scene.state.set_rule(Rule(ALICE, "a@h", Decision.ALLOW))
        scene.state.set_rule(Rule(ALICE, "b@h", Decision.ALLOW))
        self.assertRaises(StoreError, scene.state.set_rule, Rule(ALICE, "c@h", Decision.ALLOW))
        scene.state.set_rule(Rule(ALICE, "a@h", Decision.DENY))
        self.assertEqual(scene.state.decision("presence", ALICE, "a@h"), Decision.DENY)

    def test_no_such_package(self) -> None:
        for package in ("conference", "reg.winfo", "presence.winfo.winfo", ""):
            self.assertIsNone(self.state.document(package, ALICE, ALICE, NOW))


class DialogTests(PresenceCase):
    def info(self, watcher: str = BOB, version: int = 0) -> DialogInfo:
        return parse_dialog_info(self.scene.document("dialog", ALICE, watcher, NOW, version))

    def test_known_and_published(self) -> None:
        self.assertEqual(self.info(), DialogInfo(f"sip:{ALICE}"))
        self.state.set_dialogs(ALICE, [DialogState("d", "early", "c")])
        self.state.set_dialogs(ALICE, [DialogState("d", "early", "c")])
        self.assertEqual(self.scene.told(), [("dialog", ALICE)])
        body = DialogInfo("sip:x", (DialogState("d", "confirmed", "c2"),)).to_bytes()
        self.scene.publish(body, package="dialog", content_type="application/dialog-info+xml")
        self.assertEqual(self.scene.told(), [("dialog", ALICE)])
        info = self.info(version=7)
        self.assertEqual((info.version, info.full, info.entity), (7, True, f"sip:{ALICE}"))
        self.assertEqual(
            [(each.id, each.state) for each in info.dialogs], [("d", "early"), ("d_", "confirmed")]
        )
        self.state.set_dialogs(ALICE, ())
        self.assertEqual([each.id for each in self.info().dialogs], ["d"])

    def test_hidden(self) -> None:
        self.state.set_dialogs(ALICE, [DialogState("d", "early")])
        self.state.set_rule(Rule(ALICE, BOB, Decision.POLITE))
        self.assertEqual(self.info().dialogs, ())


class MailboxTests(PresenceCase):
    def summary(self) -> MessageSummary:
        return parse_message_summary(self.scene.document("message-summary", ALICE, ALICE))

    def test_mailbox(self) -> None:
        self.assertEqual(self.summary(), MessageSummary(False))
        waiting = MessageSummary(True, f"sip:{ALICE}", {"voice-message": Counts(2, 1)})
        self.state.set_mailbox(ALICE, waiting)
        self.assertEqual(self.scene.told(), [("message-summary", ALICE)])
        self.assertEqual(self.summary(), waiting)
        published = MessageSummary(True, "", {"voice-message": Counts(5, 0)})
        self.scene.publish(
            published.to_bytes(), package="message-summary", content_type="application/simple-message-summary"
        )
        self.assertEqual(self.summary(), published)
        self.state.set_mailbox(ALICE, None)
        self.scene.publish(etag="tag1", package="message-summary", expires=0)
        self.assertEqual(self.summary(), MessageSummary(False))


class RegistrationTests(PresenceCase):
    def binding(self, contact: str, deadline: float = NOW + 60, **more: object) -> Binding:
        return Binding(contact, contact, "call", 3, deadline, 60, **more)  # type: ignore[arg-type]

    def info(self, now: float = NOW, version: int = 0) -> RegInfo:
        return parse_reginfo(self.scene.document("reg", ALICE, ALICE, now, version))

    def change(self, *bindings: Binding, kind: str) -> None:
        self.scene.bindings[ALICE] = bindings
        self.state.bindings_changed(ALICE, bindings, kind)

    def contacts(self, now: float = NOW) -> list[tuple[str, str, str]]:
        (registration,) = self.info(now).registrations
        return [(each.uri, each.state, each.event) for each in registration.contacts]

    def test_life(self) -> None:
        one, two = (
            self.binding("sip:a@1", q=500, params=';q=0.5;+sip.instance="<urn:1>"'),
            self.binding("sip:a@2"),
        )
        (registration,) = self.info(version=4).registrations
        self.assertEqual((registration.aor, registration.state), (f"sip:{ALICE}", "init"))
        id_ = registration.id
        self.change(one, kind="created")
        self.assertEqual(self.scene.told(), [("reg", ALICE)])
        (registration,) = self.info(NOW + 10).registrations
        (contact,) = registration.contacts
        self.assertEqual((registration.state, registration.id), ("active", id_))
        self.assertEqual(
            (contact.event, contact.expires, contact.duration, contact.q, contact.call_id, contact.cseq),
            ("registered", 50, 10, 500, "call", 3),
        )
        self.assertEqual(contact.params, (("+sip.instance", '"<urn:1>"'),))
        self.change(one, two, kind="created")
        longer = self.binding("sip:a@2", NOW + 100)
        self.change(one, longer, kind="refreshed")
        self.assertIn(("sip:a@2", "active", "refreshed"), self.contacts())
        self.change(longer, kind="removed")
        self.assertEqual(
            self.contacts(), [("sip:a@2", "active", "registered"), ("sip:a@1", "terminated", "unregistered")]
        )
        self.change(kind="expired")
        self.assertEqual(self.contacts(), [("sip:a@2", "terminated", "expired")])
        (registration,) = self.info().registrations
        self.assertEqual((registration.state, registration.id), ("terminated", id_))

    def test_only_watched_ones_are_remembered(self) -> None:
        self.change(self.binding("sip:a@1"), kind="created")
        self.assertEqual(self.scene.told(), [])
        self.state.watched("reg", ALICE, "s1", f"sip:{ALICE}", pending=False, expires=60, now=NOW)
        self.contacts()
        self.scene.told()
        self.change(kind="removed")
        self.assertEqual(self.scene.told(), [("reg", ALICE)])
        self.state.unwatched("reg", ALICE, "s1", "timeout", NOW)
        self.scene.told()
        self.change(self.binding("sip:a@1"), kind="created")
        self.assertEqual(self.scene.told(), [])

    def test_a_lookup_that_takes_time(self) -> None:
        waiting: Deferred[tuple[Binding, ...]] = Deferred()
        self.state._lookup = lambda aor, now: waiting
        found = self.state.document("reg", ALICE, ALICE, NOW)
        assert isinstance(found, Deferred)
        self.assertNoResult(found)
        waiting.callback((self.binding("sip:a@1"),))
        document: Document = self.successResultOf(found)
        self.assertIn(b"<uri>sip:a@1</uri>", document.body)


class WatcherTests(PresenceCase):
    def watched(
        self, id_: str, uri: str, *, pending: bool = False, expires: int = 600, now: float = NOW
    ) -> bool:
        return self.state.watched("presence", ALICE, id_, uri, pending=pending, expires=expires, now=now)

    def info(self, now: float = NOW) -> WatcherInfo:
        return parse_winfo(self.scene.document("presence.winfo", ALICE, ALICE, now))

    def statuses(self, now: float = NOW) -> list[tuple[str, str, str]]:
        (found,) = self.info(now).lists
        self.assertEqual((found.resource, found.package), (f"sip:{ALICE}", "presence"))
        return [(each.id, each.status, each.event) for each in found.watchers]

    def test_life(self) -> None:
        self.assertEqual(self.statuses(), [])
        self.watched("s1", "sip:bob@h", pending=True)
        self.assertEqual(self.scene.told(), [("presence.winfo", ALICE)])
        self.assertEqual(self.statuses(), [("s1", "pending", "subscribe")])
        self.watched("s1", "sip:bob@h", pending=True, now=NOW + 10)
        self.assertEqual(self.scene.told(), [])
        self.watched("s1", "sip:bob@h", now=NOW + 20)
        self.assertEqual(self.scene.told(), [("presence.winfo", ALICE)])
        self.assertEqual(self.statuses(), [("s1", "active", "approved")])
        (found,) = self.info(NOW + 30).lists
        self.assertEqual((found.watchers[0].expiration, found.watchers[0].duration), (590, 30))
        self.state.unwatched("presence", ALICE, "s1", "timeout", NOW + 40)
        self.state.unwatched("presence", ALICE, "s1", "timeout", NOW + 40)
        self.assertEqual(self.scene.told(), [("presence.winfo", ALICE)])
        self.assertEqual(self.statuses(NOW + 40), [("s1", "terminated", "timeout")])
        self.state.expire(NOW + 73)
        self.assertEqual(self.statuses(NOW + 73), [])
        self.assertEqual(self.state.watchers._known, {})

    def test_who_gave_up_waits(self) -> None:
        """The presentity can still decide about one that it was not there to decide about."""
        self.watched("s1", "sip:bob@h", pending=True)
        self.state.unwatched("presence", ALICE, "s1", "giveup", NOW)
        self.state.expire(NOW + 100)
        self.assertEqual(self.statuses(NOW + 100), [("s1", "waiting", "giveup")])
        self.watched("s2", "sip:bob@h", now=NOW + 200)
        self.assertEqual(self.statuses(NOW + 200), [("s2", "active", "subscribe")])
        self.watched("s3", "sip:eve@h", pending=True, now=NOW)
        self.state.unwatched("presence", ALICE, "s3", "giveup", NOW)
        self.scene.told()
        self.state.expire(NOW + 86401)
        self.assertEqual(self.scene.told(), [("presence.winfo", ALICE)])

    def test_many(self) -> None:
        for number in range(200):
            self.assertTrue(self.watched(f"s{number}", f"sip:{number}@h"))
        self.assertFalse(self.watched("s200", "sip:200@h"))
        self.assertTrue(self.watched("s0", "sip:0@h"))
        for number in range(200):
            self.state.unwatched("presence", ALICE, f"s{number}", "timeout", NOW)
            self.assertTrue(self.watched(f"t{number}", f"sip:{number}@h"))
        self.assertLessEqual(len(self.statuses()), 401)


class ListTests(PresenceCase):
    def setUp(self) -> None:
        super().setUp()
        members = (Buddy(BOB, "Bob"), Buddy(CAROL), Buddy("ghost@example.test"), Buddy("eve@example.test"))
        self.scene = Scene(exists=lambda aor: not aor.startswith("ghost"))
        self.state = self.scene.state
        self.state.set_list(BuddyList(FRIENDS, ALICE, members, "Friends"))
        self.state.set_rule(Rule(BOB, ALICE, Decision.ALLOW))
        self.state.set_rule(Rule("eve@example.test", ALICE, Decision.DENY))
        self.scene.told()

    def test_document(self) -> None:
        self.scene.publish(pidf("open", "I am Bob"), presentity=BOB)
        self.scene.publish(pidf("open", "I am Carol"), presentity=CAROL)
        self.assertEqual(
            self.scene.told(),
            [("presence", BOB), ("presence", FRIENDS), ("presence", CAROL), ("presence", FRIENDS)],
        )
        document = self.state.document("presence", FRIENDS, ALICE, NOW, 3)
        assert isinstance(document, Document)
        first, *others = parse_multipart(document.content_type, document.body)
        found = parse_rlmi(first.body)
        self.assertEqual(
            (found.uri, found.version, found.full, found.name), (f"sip:{FRIENDS}", 3, True, "Friends")
        )
        self.assertEqual(
            [
                (each.uri, each.name, each.instances[0].state, each.instances[0].reason)
                for each in found.resources
            ],
            [
                (f"sip:{BOB}", "Bob", "active", ""),
                (f"sip:{CAROL}", "", "pending", ""),
                ("sip:ghost@example.test", "", "terminated", "noresource"),
                ("sip:eve@example.test", "", "terminated", "rejected"),
            ],
        )
        (other,) = others
        self.assertIn(("Content-ID", f"<{found.resources[0].instances[0].cid}>"), other.headers)
        self.assertEqual(parse_pidf(other.body).notes[0].text, "I am Bob")
        self.assertNotIn(b"Carol", document.body)

    def test_only_its_owner(self) -> None:
        for watcher in (BOB, CAROL, "", FRIENDS):
            self.assertIsNone(self.state.document("presence", FRIENDS, watcher, NOW))
        self.assertIsNone(self.state.document("dialog", FRIENDS, ALICE, NOW))

    def test_changes(self) -> None:
        self.state.set_list(BuddyList(FRIENDS, ALICE, (Buddy(CAROL),)))
        self.assertEqual(self.scene.told(), [("presence", FRIENDS)])
        self.scene.publish(pidf(), presentity=BOB)
        self.assertEqual(self.scene.told(), [("presence", BOB)])
        self.state.drop_list(FRIENDS)
        self.assertEqual(self.scene.told(), [("presence", FRIENDS)])
        self.assertIsNone(self.state.lists.get(FRIENDS))
        self.assertEqual(self.state.lists.containing(CAROL), ())

    def test_too_long(self) -> None:
        members = tuple(Buddy(f"{number}@h") for number in range(201))
        self.assertRaises(StoreError, self.state.set_list, BuddyList(FRIENDS, ALICE, members))


class Failing(PresenceMemory):
    """Says later that it could not write, or raises."""

    def __init__(self) -> None:
        self.waiting: Deferred[None] | None = None

    def write(self, change: object) -> Deferred[None]:  # type: ignore[override]
        if self.waiting is None:
            raise StoreError("no")
        return self.waiting


class FailureTests(SynchronousTestCase):
    def test_a_store_that_cannot_write(self) -> None:
        """503, and all is as before: the same entity tag can be used again."""
        store = Failing()
        scene = Scene(store)
        self.assertEqual(scene.publish(pidf()).status, 503)
        store.waiting = Deferred()
        waiting = scene.state.publish(publish(pidf()), NOW)
        assert isinstance(waiting, Deferred)
        self.assertNoResult(waiting)
        store.waiting.errback(StoreError("no"))
        self.assertEqual(self.successResultOf(waiting).status, 503)
        self.assertEqual(scene.told(), [])
        self.assertEqual(scene.state.compositor.count(), 0)
        store.waiting = Deferred()
        waiting = scene.state.publish(publish(pidf()), NOW)
        store.waiting.callback(None)
        assert isinstance(waiting, Deferred)
        etag = self.successResultOf(waiting).etag
        store.waiting = None
        self.assertEqual(scene.publish(etag=etag).status, 503)
        store.waiting = Deferred()
        waiting = scene.state.publish(publish(etag=etag), NOW)
        store.waiting.callback(None)
        assert isinstance(waiting, Deferred)
        self.assertEqual(self.successResultOf(waiting).status, 200)
