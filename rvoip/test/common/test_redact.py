"""Secrets don't reach a log."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.redact import REDACTED, is_secret_name, may_hold_secret, redact


class RedactTests(SynchronousTestCase):
    def test_secrets_in_text(self) -> None:
        for text, shown in [
            ('Authorization: Digest username="a", response="b"', "Authorization: [redacted]"),
            ("Proxy-Authorization: Digest x=1\r\nVia: y", "Proxy-Authorization: [redacted]\r\nVia: y"),
            ("PROXY-AUTHORIZATION \t:  Basic QTpC", "PROXY-AUTHORIZATION \t:  [redacted]"),
            ("Authorization:\r\n Digest a=1,\r\n\tb=2\r\nTo: c", "Authorization:\r\n [redacted]\r\nTo: c"),
            (repr(b"Authorization: Digest a=1,\r\n b=2\r\nTo: c"), "b'Authorization: [redacted]\\r\\nTo: c'"),
            ("a\nIdentity: eyJhb.eyJk.sig;info=<https://x/>;ppt=shaken\nb", "a\nIdentity: [redacted]\nb"),
            ("Cookie: session=abc", "Cookie: [redacted]"),
            ("X-API-Key: abc", "X-API-Key: [redacted]"),
            ("sent Bearer eyJhbGciOiJFUzI1NiJ9.e30.x to", "sent Bearer [redacted]"),
            ('challenge Digest realm="r", nonce="n"', "challenge Digest [redacted]"),
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZ|2^20\r\na=rtpmap",
                "a=crypto:[redacted]\r\na=rtpmap",
            ),
            ("key inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4 end", "key inline:[redacted] end"),
            ("a=key-mgmt:mikey AQAFgM0XflABAAAA\r\n", "a=key-mgmt:[redacted]\r\n"),
            ("a=ice-pwd:asd88fgpdd777uzjYhagZg", "a=ice-pwd:[redacted]"),
            ("password=hunter2, user=bob", "password=[redacted], user=bob"),
            ("User(name='bob', password='hunter2')", "User(name='bob', password=[redacted])"),
            ('{"token": "abc\\"def", "x": 1}', '{"token": [redacted], "x": 1}'),
            ('{\\"ha1\\": \\"abc\\"}', '{\\"ha1\\": [redacted]}'),
            ("db_password: x y", "db_password: [redacted] y"),
            ('response="deadbeef"', "response=[redacted]"),
            ("cnonce=abc;nc=1", "cnonce=[redacted];nc=1"),
            ("postgresql://rvoip:s3cret@db/rvoip", "postgresql://rvoip:[redacted]@db/rvoip"),
            ("redis://:s3cret@db:6379", "redis://:[redacted]@db:6379"),
            ("sip:alice:s3cret@example.test", "sip:alice:[redacted]@example.test"),
            ("<SIPS:alice:s3cret@example.test>", "<SIPS:alice:[redacted]@example.test>"),
        ]:
            self.assertTrue(may_hold_secret(text), text)
            self.assertEqual(redact(text), shown)
            self.assertEqual(redact(shown), shown)

    def test_what_is_no_secret_stays(self) -> None:
        for text in [
            "P-Asserted-Identity: <sip:alice@example.test>",
            "P-Preferred-Identity: <sip:alice@example.test>",
            "Registered sip:alice@example.test from udp:127.0.0.1:5060",
            "sip:alice@10.0.0.1:5060, sip:bob@10.0.0.2",
            "the response was 200, the key is lost, no token left, digest it",
            "http://127.0.0.1:8080/v1/users/alice@example.test",
            "bearer of bad news",
            "[::1]:5060",
        ]:
            self.assertEqual(redact(text), text)

    def test_names(self) -> None:
        for name in [
            "password",
            "db_password",
            "passwd",
            "secret",
            "client_secret",
            "token",
            "api_token",
            "ha1",
            "ha1_md5",
            "authorization",
            "proxy_authorization",
            "Authorization",
            "response",
            "digest_response",
            "nonce",
            "cnonce",
            "api_key",
            "apikey",
            "private_key",
            "identity",
            "inline",
            "credentials",
            "cookie",
            "key",
        ]:
            self.assertTrue(is_secret_name(name), name)
        for name in [
            "aor",
            "call_id",
            "status",
            "response_code",
            "responses",
            "p_asserted_identity",
            "identity_check",
            "source",
            "expires",
            "keyword",
            "monkey",
            "reason",
            "cache_key",
        ]:
            self.assertFalse(is_secret_name(name), name)

    def test_no_input_takes_long(self) -> None:
        """64 KiB of what each pattern begins with, and never ends."""
        for unit in [
            "authorization",
            "authorization:",
            "authorization: ",
            "identity: \r\n ",
            "digest ",
            "digest a=",
            "bearer ",
            "a=crypto:",
            "inline:",
            "password",
            "password=",
            'password="',
            "password='",
            'password="\\',
            "a_",
            "_",
            "1",
            "-",
            "a-",
            "x_token",
            "://",
            "://a:",
            "sip:",
            "sip:a:",
            "sips:a:b",
            "sip",
            "sip:a:b:c",
            "\\",
            "\\r\\n ",
            "nonce \t",
            "s",
            '"',
            "token\\",
        ]:
            text = (unit * 65536)[:65536]
            before = time.process_time()
            redact(text)
            redact("token" + text)
            redact("@://sip:" + text)
            self.assertLess(time.process_time() - before, 1.0, unit)

    def test_marks_cover_the_patterns(self) -> None:
        self.assertFalse(may_hold_secret("plain text"))
        self.assertEqual(REDACTED, "[redacted]")
