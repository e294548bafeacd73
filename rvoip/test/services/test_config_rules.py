"""What the schema's types do not say: each mistake is one line with its key, before anything starts."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.errors import ConfigError
from rvoip.services.config import Config, load

_UPSTREAM = '[registrar]\n{}[registrar.upstream]\nuri = "{}"\n{}'

_RIGHT = (
    _UPSTREAM.format("", "sips:registrar.example.net", ""),
    _UPSTREAM.format(
        "authenticate = false\n", "sip:[::1]:5060;transport=tcp", 'contact = "[2001:db8::1]:5060"\n'
    ),
    '[sip]\ndomains = ["example.net", "EXAMPLE.org.", "192.0.2.7", "[2001:db8::1]", "my_host"]\n',
    '[sip]\ndns = ["192.0.2.53", "127.0.0.1:5353", "[::1]:5353", "::1"]\nt1 = 0.01\n',
    '[auth]\nalgorithms = ["SHA-256", "MD5"]\nqop = ["auth"]\n',
    '[http]\ntoken = "eyJ.a-b_c~d+e/f=="\n',
    f'[http]\ntoken = "{"x" * 4089}"\n',
    '[registrar]\nservice_route = ["sip:edge.example.net;lr", "<sips:[2001:db8::1]:5061;lr>"]\n',
    "[registrar]\ndefault_expires = 60\nmin_expires = 60\nmax_expires = 60\n",
    "[registrar]\nmax_expires = 100\n",
    '[users]\nstore = "sqlite:one.db"\n[records]\nsql = "sqlite:one.db"\n',
    '[users]\nstore = "postgresql://h/n"\n[location]\nstore = "postgresql://h/n"\n',
)

_WRONG = (
    (
        _UPSTREAM.format("", "registrar.example.net", ""),
        "registrar.upstream.uri: 'registrar.example.net' is no",
    ),
    (_UPSTREAM.format("", "tel:+49", ""), "registrar.upstream.uri: 'tel:+49' is no sip"),
    (_UPSTREAM.format("", "sip:h", 'contact = "a@b"\n'), "registrar.upstream.contact: 'a@b' is no host:port"),
    (_UPSTREAM.format("", "sip:h", 'contact = "b;x=y"\n'), "registrar.upstream.contact: 'b;x=y' is no"),
    (_UPSTREAM.format("authenticate = false\n", "sip:h", "[presence]\n"), "presence: of a front end needs"),
    ('[auth]\nalgorithms = ["MD5", "MD5"]\n', "auth.algorithms: names one twice"),
    ("[auth]\nalgorithms = []\n", "auth.algorithms: is empty"),
    ("[auth]\nqop = []\n", "auth.qop: is empty"),
    ('[auth]\nqop = ["auth", "auth"]\n', "auth.qop: names one twice"),
    ('[sip]\ndns = ["192.0.2.53", "foo bar"]\n', "sip.dns[1]: 'foo bar' is not the numeric address"),
    ('[sip]\ndns = ["ns.example.net"]\n', "sip.dns[0]: "),
    ('[sip]\ndns = ["192.0.2.53:0"]\n', "sip.dns[0]: "),
    ('[sip]\ndomains = ["sip:qa.test"]\n', "sip.domains[0]: 'sip:qa.test' is no domain"),
    ('[sip]\ndomains = ["a.test", "*.qa.test"]\n', "sip.domains[1]: '*.qa.test' is no domain"),
    ('[sip]\ndomains = [""]\n', "sip.domains[0]: '' is no domain"),
    ('[sip]\ndomains = ["."]\n', "sip.domains[0]: '.' is no domain"),
    ('[sip]\ndomains = ["a b"]\n', "sip.domains[0]: "),
    ('[sip]\ndomains = ["a.test:5060"]\n', "sip.domains[0]: "),
    ('[sip]\ndomains = ["a.test\\r\\nX: y"]\n', "sip.domains[0]: "),
    (f'[sip]\ndomains = ["{"a." * 127}test"]\n', "sip.domains[0]: "),
    ("[sip]\nt1 = 1e-300\n", "sip.t1: expected float >= 0.01"),
    ("[sip]\nt1 = 1e300\n", "sip.t1: expected float <= 60"),
    ("[sip.limits]\nidle = 1e300\n", "sip.limits.idle: expected float <= 31536000"),
    ("[proxy]\ntimer_c = 1e300\n", "proxy.timer_c: expected float <= "),
    ("[service]\ndrain_max = 1e300\n", "service.drain_max: expected float <= "),
    ('[http]\ntoken = "two words"\n', "http.token: cannot be sent as a bearer token"),
    ("[http]\ntoken = 'a\"b'\n", "http.token: "),
    ('[http]\ntoken = "schlüssel"\n', "http.token: "),
    (f'[http]\ntoken = "{"x" * 4090}"\n', "http.token: "),
    ('[registrar]\nservice_route = ["<sip:a;lr>\\r\\nX-Evil: y"]\n', "registrar.service_route[0]: "),
    ('[registrar]\nservice_route = ["sip:a;lr", "tel:+1"]\n', "registrar.service_route[1]: 'tel:+1' is no"),
    ('[registrar]\nservice_route = ["sip:a;lr>, <sip:b"]\n', "registrar.service_route[0]: "),
    ('[registrar]\nservice_route = ["sip:a, sip:b"]\n', "registrar.service_route[0]: "),
    ('[registrar]\nservice_route = [""]\n', "registrar.service_route[0]: "),
    ("[registrar]\nmin_expires = 7200\n", "registrar.default_expires: 3600 is below min_expires, 7200"),
    ("[registrar]\nmax_expires = 59\n", "registrar.min_expires: is above max_expires"),
    ("[registrar]\nmax_expires = 5000000000\n", "registrar.max_expires: expected int <= 4294967295"),
    (
        '[users]\nstore = "sqlite:one.db"\n[location]\nstore = "sqlite:./one.db"\n',
        "location.store: is the file of users.store; name another one",
    ),
    (
        '[location]\nstore = "sqlite:r.db"\n[records]\nsql = "sqlite:r.db"\n',
        "location.store: is the file of records.sql",
    ),
    (
        "[proxy]\nstateless = true\ntopology_hiding = true\n",
        "proxy.stateless: does nothing with topology_hiding, whose Vias are kept in transactions; set one of",
    ),
)


class RulesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = str(self.folder / "rvoip.toml")

    def load(self, text: str) -> Config:
        Path(self.file).write_text(text, encoding="utf-8")
        return load(self.file, "proxy", {})

    def test_right(self) -> None:
        for text in _RIGHT:
            self.load(text)

    def test_wrong(self) -> None:
        for text, words in _WRONG:
            error = self.assertRaises(ConfigError, self.load, text)
            self.assertTrue(str(error).startswith(f"{self.file}: {words}"), f"{text}: {error}")
            self.assertNotIn("\n", str(error))

    def test_a_file_by_another_name(self) -> None:
        (self.folder / "a.db").write_bytes(b"")
        (self.folder / "b.db").symlink_to("a.db")
        text = '[users]\nstore = "sqlite:a.db"\n[location]\nstore = "sqlite:b.db"\n'
        self.assertIn("location.store: is the file", str(self.assertRaises(ConfigError, self.load, text)))
