"""`rvoip check`: one line for what would keep a server from starting, or from working."""

from __future__ import annotations

import os
import sys
import tomllib
from datetime import timedelta
from pathlib import Path

from twisted.trial.unittest import TestCase

from rvoip.cli.selfsigned import write_certificate
from rvoip.common.config_table import describe
from rvoip.services.config import Config
from rvoip.test.cli.running import run
from rvoip.testing.certificates import Authority


class CheckTests(TestCase):
    """Right and wrong files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = str(self.folder / "rvoip.toml")

    def check(self, text: str, role: str = "proxy") -> str:
        """What is said about a configuration, "" when it is right."""
        Path(self.file).write_text(text, encoding="utf-8")
        status, out, err = run("check", self.file, "--role", role)
        if status == 0:
            self.assertEqual((out, err), (f"{self.file}: ok\n", ""))
            return ""
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err.count("\n"), 1)
        self.assertTrue(err.startswith(f"{self.file}: "), err)
        return err.removeprefix(f"{self.file}: ").rstrip("\n")

    def test_right_files(self) -> None:
        for text in ("", "[registrar]\n", '[sip]\nlisten = ["udp:[::1]:5060"]\n[http]\nlisten = "none"\n'):
            self.assertEqual(self.check(text), "")
            self.assertEqual(self.check(text, "registrar"), "")

    def test_nothing_is_opened_or_made(self) -> None:
        self.check('[registrar]\n[users]\nstore = "sqlite:u.db"\n[location]\nstore = "sqlite:l.db"\n')
        self.assertEqual(os.listdir(self.folder), ["rvoip.toml"])

    def test_what_the_schema_refuses(self) -> None:
        self.assertEqual(self.check("[sip]\ndomain = []\n"), "sip.domain: unknown key; did you mean domains?")
        self.assertIn("line 1", self.check("[sip\n"))
        self.assertEqual(
            self.check('[sip]\nlisten = ["tls:127.0.0.1:5061"]\n'),
            "tls.certificate: a tls: or wss: address needs a certificate; set certificate and private_key",
        )

    def test_a_file_that_is_not_there(self) -> None:
        ran = run("check", str(self.folder / "nope.toml"))
        self.assertEqual(
            ran, (1, "", f"{self.folder / 'nope.toml'}: cannot be read: No such file or directory\n")
        )

    def test_certificates(self) -> None:
        write_certificate(str(self.folder / "a.pem"), str(self.folder / "a.key"), ["example.test"])
        write_certificate(str(self.folder / "b.pem"), str(self.folder / "b.key"), ["example.test"])
        (self.folder / "text").write_text("nothing", encoding="utf-8")
        table = '[sip]\nlisten = ["tls:127.0.0.1:5061"]\n[tls]\ncertificate = "{}"\nprivate_key = "{}"\n'
        self.assertEqual(self.check(table.format("a.pem", "a.key")), "")
        for certificate, key, reason in [
            ("nope.pem", "a.key", f"{self.folder}/nope.pem: cannot be read: No such file or directory"),
            ("a.pem", "nope.key", f"{self.folder}/nope.key: cannot be read: No such file or directory"),
            ("text", "a.key", f"{self.folder}/text: no PEM certificate"),
            ("a.pem", "text", f"{self.folder}/text: no PEM private key"),
            ("a.pem", "b.key", f"{self.folder}/b.key: is not the key of {self.folder}/a.pem"),
        ]:
            self.assertEqual(self.check(table.format(certificate, key)), f"tls: {reason}")

    def test_a_certificate_by_name_and_an_authority(self) -> None:
        write_certificate(str(self.folder / "a.pem"), str(self.folder / "a.key"), ["example.test"])
        table = '[tls]\ncertificate = "a.pem"\nprivate_key = "a.key"\n'
        name = '[[tls.name]]\nname = "b.test"\ncertificate = "b.pem"\nprivate_key = "b.key"\n'
        self.assertEqual(
            self.check(table + name), f"tls: {self.folder}/b.pem: cannot be read: No such file or directory"
        )
        self.assertEqual(
            self.check(table + 'ca = "ca.pem"\n'),
            f"tls: {self.folder}/ca.pem: cannot be read: No such file or directory",
        )
        self.assertIn("verify_client needs ca", self.check(table + "verify_client = true\n"))

    def test_an_expired_certificate(self) -> None:
        Authority().issue("a.test", valid_from=timedelta(days=-9), valid_for=timedelta(days=1)).write(
            self.folder
        )
        said = self.check('[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\n')
        self.assertRegex(said, r"^tls: a certificate has expired on \d{4}-\d\d-\d\d$")

    def test_an_expired_revocation_list(self) -> None:
        authority = Authority()
        authority.issue("a.test").write(self.folder)
        table = '[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\ncrl = "crl.pem"\n'
        for days, said in ((1, "^$"), (-1, r"^tls\.crl: a revocation list has expired on \d{4}-\d\d-\d\d$")):
            (self.folder / "crl.pem").write_bytes(authority.revoke(valid_for=timedelta(days=days)))
            self.assertRegex(self.check(table), said)

    def test_http(self) -> None:
        write_certificate(str(self.folder / "a.pem"), str(self.folder / "a.key"), ["example.test"])
        self.assertTrue(
            self.check('[http]\nlisten = "127.0.0.1"\n').startswith("http: listen 127.0.0.1: not ")
        )
        for table, reason in [
            ('certificate = "a.pem"', "certificate and private_key go together"),
            ('certificate = "a.pem"\nprivate_key = "b"', f"{self.folder}/b: "),
            ('certificate = "a.pem"\nprivate_key = "a.pem"', f"{self.folder}/a.pem: "),
        ]:
            said = self.check(f"[http]\n{table}\n")
            self.assertTrue(said.startswith(f"http: {reason}"), said)
        self.assertEqual(self.check('[http]\ncertificate = "a.pem"\nprivate_key = "a.key"\n'), "")

    def test_what_only_the_role_knows(self) -> None:
        for table, key in [
            ('[guard]\ntrusted = ["here"]', "guard.trusted[0]"),
            ('[location]\nstore = "floppy:a"', "location.store"),
            ('[service]\nclass = "nowhere.Class"', "service.class"),
            ('[service]\nclass = "rvoip.registrar.registrar.Registrar"', "service.class"),
        ]:
            self.assertTrue(self.check(f"{table}\n").startswith(f"{key}: "), table)

    def test_a_class_is_looked_for_as_twistd_does(self) -> None:
        (self.folder / "own_core_for_check.py").write_text(
            "from rvoip.proxy.proxy import Proxy\nclass Own(Proxy):\n    pass\n", encoding="utf-8"
        )
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        # The folder that a command is started in is none of those that twistd looks into.
        self.patch(sys, "path", [path for path in sys.path if path not in ("", ".", os.getcwd(), before)])
        self.assertIn("No module named", self.check('[service]\nclass = "own_core_for_check.Own"\n'))
        sys.path.insert(0, str(self.folder))
        self.assertEqual(self.check('[service]\nclass = "own_core_for_check.Own"\n'), "")
        self.assertIn(
            "is no subclass of", self.check('[service]\nclass = "own_core_for_check.Own"\n', "registrar")
        )


class AgainstTests(TestCase):
    """What another file would change."""

    def test_keys(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        old, new = folder / "old.toml", folder / "new.toml"
        old.write_text('[http]\ntoken = "one"\n', encoding="utf-8")
        new.write_text(
            '[sip]\nt1 = 0.7\n[http]\ntoken = "two"\n[trace]\nkeep = 7\nhep = "udp:h:9060"\n',
            encoding="utf-8",
        )
        ran = run("check", str(new), "--against", str(old))
        self.assertEqual(
            ran,
            (
                0,
                f"{new}: ok\n"
                "sip.t1: differs, in force after a restart\n"
                "http.token: differs, in force after SIGHUP\n"
                "trace.keep: differs, in force after SIGHUP\n"
                "trace.hep: differs, in force after a restart\n",
                "",
            ),
        )
        self.assertEqual(run("check", str(new), "--against", str(new)).out, f"{new}: ok\n")
        self.assertEqual(run("check", str(new), "--against", str(folder / "no.toml")).status, 1)


class DefaultsTests(TestCase):
    """`rvoip check --defaults`."""

    def test_it_is_a_right_file_with_every_key(self) -> None:
        status, out, err = run("check", "--defaults")
        self.assertEqual((status, err), (0, ""))
        file = self.mktemp()
        Path(file).write_text(out, encoding="utf-8")
        self.assertEqual(run("check", file).err, "")
        tomllib.loads(out)
        for row in describe(Config):
            self.assertIn(row.key.replace("[]", "").rpartition(".")[2], out)

    def test_a_file_or_the_defaults(self) -> None:
        self.assertEqual(run("check").status, 2)
        self.assertEqual(run("check", "--defaults", "x.toml").status, 2)
