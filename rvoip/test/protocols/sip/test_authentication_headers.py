"""Authorization, challenges, Authentication-Info, Security-Client and its like."""

from __future__ import annotations

from inspect import signature

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.authentication_headers import (
    AuthenticationInfo,
    OtherAuthentication,
    SecurityMechanism,
)
from rvoip.protocols.sip.digest import DigestChallenge, DigestCredentials
from rvoip.test.protocols.sip.samples import HeaderTable, invite

CREDENTIALS = (
    'Digest username="bob", realm="biloxi.example.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'uri="sip:bob@biloxi.example.com", qop=auth, nc=00000001, cnonce="0a4f113b", '
    'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


class AuthenticationHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of schemes other than Digest, of RFC 7616 section 3.5 and of RFC 3329."""

    good = (
        (
            "Authentication-Info",
            'nextnonce="47364c23432d", qop=auth, rspauth="ab", cnonce="0a4f113b", nc=00000001',
            AuthenticationInfo("47364c23432d", "ab", "auth", "0a4f113b", "00000001"),
        ),
        ("Authentication-Info", 'nextnonce="a, b\\"c"', AuthenticationInfo('a, b"c')),
        (
            "Security-Client",
            'ipsec-ike;q=0.1,TLS;q=0.2;d-alg=MD5,digest;d-qop="auth"',
            [
                SecurityMechanism("ipsec-ike", 100),
                SecurityMechanism("tls", 200, {"d-alg": "MD5"}),
                SecurityMechanism("digest", None, {"d-qop": '"auth"'}),
            ],
        ),
        ("Security-Server", "tls;q=1.000", [SecurityMechanism("tls", 1000)]),
        ("Security-Verify", 'digest;d-ver="0000"', [SecurityMechanism("digest", None, {"d-ver": '"0000"'})]),
    )
    bad = (
        ("Authorization", ""),
        ("Authorization", 'Digest username="bob"'),
        ("Authorization", CREDENTIALS.replace("username", "user")),
        ("Authorization", CREDENTIALS + ', opaque="open'),
        ("Authorization", CREDENTIALS + ", words alone"),
        ("Authorization", '"Digest" x=y'),
        ("Proxy-Authorization", 'realm="sip.example.com" user="fluffy"'),
        ("WWW-Authenticate", 'Digest realm="x"'),
        ("Proxy-Authenticate", 'Digest nonce="x"'),
        ("Authentication-Info", "qop"),
        ("Authentication-Info", 'qop="a b"'),
        ("Authentication-Info", 'nextnonce="a" "b"'),
        ("Security-Client", ";q=0.1"),
        ("Security-Client", "tls;q=2"),
        ("Security-Client", "tls;q"),
    )


class AuthorizationTests(SynchronousTestCase):
    """Digest becomes a value of `rvoip.protocols.sip.digest`, another scheme stays text."""

    def test_digest(self) -> None:
        """Credentials survive being written and read."""
        for name in ("Authorization", "Proxy-Authorization"):
            value = invite(f"{name}: {CREDENTIALS}").typed(name.lower())[0]
            assert isinstance(value, DigestCredentials)
            again = invite(f"{name}: {value}").typed(name.lower())[0]
            for field in signature(DigestCredentials).parameters:
                self.assertEqual(getattr(again, field), getattr(value, field), field)
            self.assertEqual((again.username, again.nc, again.qop), ("bob", "00000001", "auth"))

    def test_challenge(self) -> None:
        """Challenges do too, one a line."""
        for name in ("WWW-Authenticate", "Proxy-Authenticate"):
            values = invite(
                f'{name}: Digest realm="a, b", nonce="1", algorithm=SHA-256, qop="auth,auth-int", stale=TRUE',
                f'{name}: Digest realm="a, b",nonce="2"',
            ).typed(name.lower())
            first, second = values
            assert isinstance(first, DigestChallenge) and isinstance(second, DigestChallenge)
            self.assertEqual(
                (first.algorithm, first.qop, first.stale), ("SHA-256", ("auth", "auth-int"), True)
            )
            self.assertEqual(
                (second.nonce, second.algorithm, second.qop, second.stale), ("2", "MD5", (), False)
            )
            again = invite(f"{name}: {first}").typed(name.lower())[0]
            for field in signature(DigestChallenge).parameters:
                self.assertEqual(getattr(again, field), getattr(first, field), field)

    def test_other_scheme(self) -> None:
        """RFC 4475 section 3.3.7: what nobody knows is no error."""
        value = invite("Authorization: NoOneKnowsThisScheme opaque-data=here, x").typed("authorization")[0]
        self.assertEqual(value, OtherAuthentication("NoOneKnowsThisScheme", "opaque-data=here, x"))
        self.assertEqual(str(value), "NoOneKnowsThisScheme opaque-data=here, x")
        self.assertEqual(str(OtherAuthentication("Bearer")), "Bearer")


class AuthenticationInfoTests(SynchronousTestCase):
    """One value, though it is written with commas."""

    def test_several_lines(self) -> None:
        """Directives of all lines belong together (RFC 3261 section 7.3.1)."""
        value = invite('Authentication-Info: nextnonce="1"', "Authentication-Info: qop=auth").typed(
            "authentication-info"
        )
        self.assertEqual(value, AuthenticationInfo("1", None, "auth"))


class SecurityMechanismTests(SynchronousTestCase):
    """Parameters of a mechanism."""

    def test_param(self) -> None:
        """Unquoted, or "" without a value."""
        value = SecurityMechanism("digest", None, {"d-qop": '"auth"', "x": None})
        self.assertEqual((value.param("d-qop"), value.param("x"), value.param("y")), ("auth", "", None))
