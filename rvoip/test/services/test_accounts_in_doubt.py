"""A role whose accounts another system has that cannot be asked at the moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail

from rvoip.protocols.sip.message import Response
from rvoip.services.accounts import AccountsService
from rvoip.test.services.roles import SERVER, RoleCase
from rvoip.testing.phone import Phone
from rvoip.users.errors import StoreBusy


class InDoubtTests(RoleCase):
    """What is in memory goes on being used, and nobody learns whom it is of."""

    def answer(self, user: str, password: str) -> Response:
        """To a REGISTER with these credentials."""
        phone = Phone(
            self.reactor, f"{user}@example.test", host="127.0.64.21", server=SERVER, password=password
        ).open()
        try:
            return self.reactor.result_of(phone.register())
        finally:
            self.reactor.result_of(phone.close())

    def test_statuses(self) -> None:
        role = self.run_role(name="registrar")
        self.add_account(role, "bob@example.test")
        self.patch(role.authenticator, "_in_doubt", lambda: True)
        self.assertEqual(self.answer("bob", "secret").status, 200)
        for user in ("bob", "nobody"):
            answer = self.answer(user, "wrong")
            self.assertEqual((answer.status, answer.get("retry-after")), (503, "5"))

    def test_calls_to_somebody_who_may_have_an_account(self) -> None:
        """503, where else it is 404 or 480."""
        role = self.run_role()
        self.add_account(role, "bob@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.reactor.result_of(bob.register())

        def lookup(accounts: Any, user: str, realm: str) -> Any:
            return fail(StoreBusy("the source of accounts does not answer"))

        self.patch(AccountsService, "lookup", lookup)
        bob.call("sip:carol@example.test")
        answer: Any = self.reactor.result_of(bob.expect(503))
        self.assertEqual((answer.reason, answer.get("retry-after")), ("Accounts Unavailable", "5"))
