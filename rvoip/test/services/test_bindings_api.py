"""Registered contacts by HTTP."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import fail, succeed

from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.services.activity import RegistrationChanged
from rvoip.services.compose import SIPRole
from rvoip.test.common.http_client import Response
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import Phone

CONTACT = "sip:alice@127.0.64.21:5070"


class BindingsTests(RoleCase):
    store = "memory:"

    def setUp(self) -> None:
        super().setUp()
        self.role: SIPRole = self.run_role(
            f'[location]\nstore = "{self.store}"\n[registrar]\nauthenticate = false\n'
        )
        self.alice = self.phone("alice@example.test", "127.0.64.21", port=5070)

    def ask(self, method: str, target: str) -> Response:
        return self.client.ask(method, target)

    def register(self, phone: Phone, *contacts: str, expires: int = 3600, headers: Any = ()) -> None:
        response = self.reactor.result_of(phone.register(expires, contacts=contacts or None, headers=headers))
        self.assertEqual(response.status, 200)

    def fill(self, *users: str) -> None:
        for user in users:
            self.register(self.phone(f"{user}@example.test", "127.0.64.22"), f"<sip:{user}@127.0.64.22:1>")

    def test_none(self) -> None:
        self.assertEqual(self.ask("GET", "/v1/bindings").json, {"bindings": [], "next": ""})

    def test_what_is_shown_of_a_contact(self) -> None:
        self.register(
            self.alice,
            f'<{CONTACT}>;q=0.5;reg-id=2;+sip.instance="<urn:uuid:1>"',
            headers=[("Supported", "path, outbound"), ("Path", "<sip:edge.example.test;lr>")],
        )
        self.reactor.advance(10)
        answer = self.ask("GET", "/v1/bindings/alice@example.test")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json["aor"], "alice@example.test")
        (shown,) = answer.json["bindings"]
        self.assertLess(abs(shown.pop("updated") - time.time()), 60)
        self.assertRegex(shown["id"], "^[0-9a-f]{12}$")
        target = f"/v1/bindings/alice@example.test/{shown['id']}"
        self.assertEqual({**self.ask("GET", target).json, "updated": 0.0}, {**shown, "updated": 0.0})
        del shown["id"], shown["call_id"]
        self.assertEqual(
            shown,
            {
                "aor": "alice@example.test",
                "contact": CONTACT,
                "expires": 3590,
                "q": 0.5,
                "user_agent": "",
                "cseq": 1,
                "path": ["<sip:edge.example.test;lr>"],
                "received": "udp/127.0.64.20:5060/127.0.64.21:5070",
                "instance": "<urn:uuid:1>",
                "reg_id": 2,
            },
        )

    def test_several_contacts(self) -> None:
        self.register(self.alice, f"<{CONTACT}>", "<sip:alice@127.0.64.22>")
        answer = self.ask("GET", "/v1/bindings/alice@example.test").json
        self.assertEqual([one["contact"] for one in answer["bindings"]], [CONTACT, "sip:alice@127.0.64.22"])

    def test_pages(self) -> None:
        self.fill("bert", "anna", "carl", "ben")
        pages, after = [], ""
        for _ in range(3):
            page = self.ask("GET", f"/v1/bindings?limit=2&after={after}").json
            pages.append([one["aor"].partition("@")[0] for one in page["bindings"]])
            after = page["next"]
        self.assertEqual(pages, [["anna", "ben"], ["bert", "carl"], []])
        self.assertEqual(after, "")
        page = self.ask("GET", "/v1/bindings?prefix=be").json
        self.assertEqual([one["aor"] for one in page["bindings"]], ["ben@example.test", "bert@example.test"])
        self.assertEqual(self.ask("GET", "/v1/bindings?prefix=x").json["bindings"], [])

    def test_an_unknown_aor(self) -> None:
        self.fill("bert")
        for aor in (
            "alice@example.test",
            "bert",
            "@",
            "sip:bert@example.test",
            "bert@example.test;x",
            "bert@example.test:5060",
            "bert:x@example.test",
            "%",
        ):
            for rest in ("", "/000000000000"):
                for method in ("GET", "DELETE"):
                    answer = self.ask(method, f"/v1/bindings/{quote(aor, safe='')}{rest}")
                    self.assertEqual(answer.status, 404, (method, aor, rest))
                    self.assertEqual(answer.headers["content-type"], "application/problem+json")
        for method in ("GET", "DELETE"):
            self.assertEqual(self.ask(method, "/v1/bindings/bert@example.test/000000000000").status, 404)
        self.assertEqual(len(self.ask("GET", "/v1/bindings").json["bindings"]), 1)

    def test_an_aor_in_another_form(self) -> None:
        phone = self.phone("andr%C3%A9@example.test", "127.0.64.22")
        self.register(phone, "<sip:x@127.0.64.22>")
        stored = "andr%C3%A9@example.test"
        for aor in (stored, "andré@EXAMPLE.test", "andr%c3%a9@Example.Test"):
            answer = self.ask("GET", f"/v1/bindings/{quote(aor, safe='')}")
            self.assertEqual((answer.status, answer.json["aor"]), (200, stored), aor)
        # Percent-encoded once only, it is the user part that an account has.
        self.assertEqual(self.ask("GET", "/v1/bindings/andr%C3%A9@example.test").json["aor"], stored)

    def test_one_contact_is_removed_by_id_or_uri(self) -> None:
        contacts = [f"sip:alice@127.0.64.2{index}:5070;x=/{index}" for index in range(3)]
        for which in ("id", "contact"):
            self.register(self.alice, *(f"<{contact}>" for contact in contacts))
            found = self.ask("GET", "/v1/bindings/alice@example.test").json["bindings"]
            (second,) = [one for one in found if one["contact"] == contacts[1]]
            target = f"/v1/bindings/alice@example.test/{quote(second[which], safe='')}"
            self.assertEqual(self.ask("GET", target).json["contact"], contacts[1])
            answer = self.ask("DELETE", target)
            self.assertEqual((answer.status, answer.body), (204, b""))
            left = self.ask("GET", "/v1/bindings/alice@example.test").json["bindings"]
            self.assertEqual({one["contact"] for one in left}, {contacts[0], contacts[2]})
            self.assertEqual(self.ask("DELETE", target).status, 404)

    def test_all_contacts_are_removed_and_whoever_listens_is_told(self) -> None:
        told: list[RegistrationChanged] = []
        self.role.events.subscribe(RegistrationChanged, told.append)
        self.register(self.alice, f"<{CONTACT}>", "<sip:alice@127.0.64.22>")
        self.assertEqual(self.ask("DELETE", "/v1/bindings/alice@example.test").status, 204)
        self.assertEqual(self.ask("GET", "/v1/bindings/alice@example.test").status, 404)
        self.assertEqual(self.ask("DELETE", "/v1/bindings/alice@example.test").status, 404)
        self.reactor.advance(0.1)
        self.assertEqual([(event.kind, event.contacts) for event in told][1:], [("removed", ())])
        self.assertEqual(self.role.registrations["removed"], 1)
        self.register(self.alice)
        self.assertEqual(self.ask("GET", "/v1/bindings/alice@example.test").status, 200)

    def test_an_expired_contact_is_not_shown(self) -> None:
        self.register(self.alice, expires=60)
        self.reactor.advance(61)
        self.assertEqual(self.ask("GET", "/v1/bindings/alice@example.test").status, 404)
        self.assertEqual(self.ask("GET", "/v1/bindings").json["bindings"], [])

    def test_what_a_phone_says_of_itself(self) -> None:
        """As it is when it can be printed, else not at all."""
        for said, kept in (
            ("<script>Phone/1.0</script>", "<script>Phone/1.0</script>"),
            ("\x1b[2J\u202e", ""),
        ):
            self.register(self.alice, headers=[("User-Agent", said)])
            self.assertEqual(self.ask("GET", "/v1/bindings").json["bindings"][0]["user_agent"], kept)

    def test_a_store_in_trouble(self) -> None:
        self.register(self.alice)
        store = self.role.location.store
        cases: list[tuple[str, str, str]] = [
            ("aors", "GET", "/v1/bindings"),
            ("remove", "DELETE", "/v1/bindings/alice@example.test"),
            ("remove", "DELETE", "/v1/bindings/alice@example.test/x"),
            ("lookup", "GET", "/v1/bindings"),
            ("lookup", "GET", "/v1/bindings/alice@example.test"),
        ]
        for name, method, target in cases:
            for error, seconds in ((StoreBusy("/secret"), "1"), (StoreError("/secret"), "5")):
                for failing in (lambda *_, e=error: fail(e), raising(error)):
                    patch = self.patch(store, name, failing)
                    answer = self.ask(method, target)
                    self.assertEqual((answer.status, answer.headers["retry-after"]), (503, seconds), target)
                    self.assertNotIn(b"secret", answer.body)
                    patch.restore()

    def test_a_store_that_takes_its_time(self) -> None:
        """All that a store may answer at once it may answer later."""
        self.register(self.alice)
        store = self.role.location.store
        for name in ("aors", "lookup", "remove"):
            method = getattr(store, name)
            self.patch(store, name, lambda *args, method=method: succeed(method(*args)))
        self.assertEqual(len(self.ask("GET", "/v1/bindings").json["bindings"]), 1)
        self.assertEqual(self.ask("GET", "/v1/bindings/alice@example.test").status, 200)
        self.assertEqual(self.ask("DELETE", "/v1/bindings/alice@example.test").status, 204)


def raising(error: Exception) -> Any:
    def method(*_: object) -> None:
        raise error

    return method


class ProxyTests(RoleCase):
    def test_a_proxy_without_a_registrar_shows_its_location_store(self) -> None:
        self.run_role(registrar=False)
        self.assertEqual(self.client.ask("GET", "/v1/bindings").json, {"bindings": [], "next": ""})
        self.assertEqual(self.client.ask("DELETE", "/v1/bindings/a@b").status, 404)
