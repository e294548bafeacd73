"""Configuration files: what they decode to, and the one line that says what is wrong with them."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.config import ConfigPath, ListenURL, StoreURL, load_config, overlay
from rvoip.common.config_table import Row, defaults_file, describe
from rvoip.common.errors import ConfigError

Struct = msgspec.Struct
Meta = msgspec.Meta


class Sip(Struct, forbid_unknown_fields=True, frozen=True):
    """Where SIP is spoken."""

    listen: list[str] = msgspec.field(default_factory=lambda: ["udp:127.0.0.1:5060"])
    """transport:host:port,
    one or more."""
    t1: Annotated[float, Meta(ge=0.1, le=10)] = 0.5
    """Seconds."""
    force_rport: bool = False


class Http(Struct, forbid_unknown_fields=True, frozen=True):
    listen: ListenURL = "127.0.0.1:8080"
    token: str = ""
    certificate: ConfigPath = ""


class Log(Struct, forbid_unknown_fields=True, frozen=True):
    format: Literal["text", "json"] = "text"
    levels: dict[str, str] = msgspec.field(default_factory=dict)


_SHORTEST = "Shortest\nlifetime."


class Registrar(Struct, forbid_unknown_fields=True, frozen=True):
    """The registrar of RFC 3261 section 10.

    Only with this table.
    """

    min_expires: Annotated[int, Meta(ge=1, description=_SHORTEST)] = 60
    class_: str = msgspec.field(default="", name="class")
    limit: int | None = None


class Route(Struct, forbid_unknown_fields=True, frozen=True):
    to: str
    weight: Annotated[int, Meta(ge=0)] = 1
    file: ConfigPath = ""


class Proxy(Struct, forbid_unknown_fields=True, frozen=True):
    record_route: bool = True
    route: list[Route] = msgspec.field(default_factory=list)
    """First match wins."""


class Store(Struct, forbid_unknown_fields=True, frozen=True):
    store: StoreURL = "sqlite:users.db"


class Schema(Struct, forbid_unknown_fields=True, frozen=True):
    sip: Sip = Sip()
    http: Http = Http()
    log: Log = Log()
    users: Store = Store()
    registrar: Registrar | None = None
    proxy: Proxy = Proxy()


OVERRIDABLE = frozenset({"sip", "http"})


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = str(self.folder / "rvoip.toml")

    def load(self, text: str | bytes, role: str = "", **environ: str) -> Schema:
        content = text.encode() if isinstance(text, str) else text
        Path(self.path).write_bytes(content)
        return load_config(self.path, Schema, environ, role=role, overridable=OVERRIDABLE)

    def refused(self, text: str | bytes, role: str = "", **environ: str) -> str:
        """Return the one line that a file gets, without the path at its beginning."""
        error = self.assertRaises(ConfigError, self.load, text, role, **environ)
        line = str(error)
        self.assertEqual(len(line.splitlines()), 1)
        return line.removeprefix(f"{self.path}: ")


class FileTests(Base):
    def test_defaults_without_a_file(self) -> None:
        config = load_config(None, Schema, {})
        self.assertEqual(config.sip, Sip())
        self.assertIsNone(config.registrar)
        self.assertEqual(config.users.store, f"sqlite:{os.getcwd()}/users.db")

    def test_a_file(self) -> None:
        config = self.load(
            """
            [sip]
            listen = ["udp:[::1]:5060", "tcp:127.0.0.1:5060"]
            t1 = 1
            [registrar]
            min_expires = 30
            class = "a.B"
            [[proxy.route]]
            to = "sip:a"
            [[proxy.route]]
            to = "sip:b"
            weight = 5
            [log]
            levels = { "rvoip.proxy" = "debug" }
            """
        )
        self.assertEqual(config.sip, Sip(listen=["udp:[::1]:5060", "tcp:127.0.0.1:5060"], t1=1.0))
        self.assertEqual(config.registrar, Registrar(min_expires=30, class_="a.B"))
        self.assertEqual(config.proxy.route, [Route(to="sip:a"), Route(to="sip:b", weight=5)])
        self.assertEqual(config.log.levels, {"rvoip.proxy": "debug"})

    def test_an_empty_table_is_there(self) -> None:
        self.assertEqual(self.load("[registrar]").registrar, Registrar())
        self.assertIsNone(self.load("").registrar)

    def test_a_byte_order_mark(self) -> None:
        self.assertEqual(self.load(b"\xef\xbb\xbf[sip]\r\nt1 = 1.0\r\n").sip.t1, 1.0)

    def test_mistakes(self) -> None:
        for text, line in [
            ("[registrar]\nmin_expiry = 1", "registrar.min_expiry: unknown key; did you mean min_expires?"),
            ("[registar]\n", "registar: unknown key; did you mean registrar?"),
            ("t1 = 0.5", "t1: unknown key; did you mean sip.t1?"),
            ("[log]\nrecord_route = true", "log.record_route: unknown key; did you mean proxy.record_route?"),
            ("[users]\nzzz = 1", "users.zzz: unknown key; known here: store"),
            ("[registrar]\nmin_expires = '30'", "registrar.min_expires: expected int, got str"),
            ("[registrar]\nmin_expires = 0", "registrar.min_expires: expected int >= 1"),
            ("[registrar]\nmin_expires = true", "registrar.min_expires: expected int, got bool"),
            ("[registrar]\nlimit = 'x'", "registrar.limit: expected int, got str"),
            ("[registrar]\nclass_ = 'x'", "registrar.class_: unknown key; did you mean class?"),
            ("registrar = 5", "registrar: expected table, got int"),
            ("[sip]\nlisten = 'udp:127.0.0.1:5060'", "sip.listen: expected list, got str"),
            ("[sip]\nlisten = ['a', 5]", "sip.listen[1]: expected str, got int"),
            ("[sip]\nt1 = 11", "sip.t1: expected float <= 10.0"),
            ("[sip]\nt1 = nan", "sip.t1: must be a finite number"),
            ("[sip]\nt1 = -inf", "sip.t1: must be a finite number"),
            ("[sip]\nt1 = 1979-05-27", "sip.t1: expected float, got date"),
            (
                "[[proxy.route]]\nto='a'\n[[proxy.route]]\nto='b'\n[[proxy.route]]\nto=3",
                "proxy.route[2].to: expected str, got int",
            ),
            ("[[proxy.route]]\n", "proxy.route[0].to: is missing"),
            ("[[proxy.route]]\nto='a'\nwieght=1", "proxy.route[0].wieght: unknown key; did you mean weight?"),
            (
                "[log]\nformat = 'jsn'",
                'log.format: \'jsn\' is not one of "json", "text"; did you mean "json"?',
            ),
            ("[log]\nformat = 'xyzzy'", 'log.format: \'xyzzy\' is not one of "json", "text"'),
            ("[log]\nlevels = { a = 1 }", "log.levels[...]: expected str, got int"),
            ('[sip]\n"a\\nb" = 1', "sip.a\\nb: unknown key; known here: force_rport, listen, t1"),
        ]:
            self.assertEqual(self.refused(text), line)

    def test_files_that_are_no_toml(self) -> None:
        files: list[tuple[str | bytes, str]] = [
            ("[sip]\nt1 = ", "line 2, end of file: no valid TOML: invalid value"),
            ("[sip]\nt1 = 1\nt1 = 2", "line 3, end of file: t1 is set twice"),
            ("[sip]\nt1 = 1\nt1 = 2\n\n", "line 3, column 7: t1 is set twice"),
            ("[sip]\n[sip]\n", "line 2, column 5: no valid TOML: cannot declare ('sip',) twice"),
            ("[sip\n", "line 1, column 5: no valid TOML: expected ']' at the end of a table declaration"),
            (b"[sip]\nx = '\xff'", "line 2: is not UTF-8"),
            ("x = " + "[" * 100_000, "is nested too deeply"),
            ("x = " + "[" * 100 + "]" * 100, "x" + "[0]" * 26 + "[: is nested too deeply"),
        ]
        for text, line in files:
            self.assertEqual(self.refused(text), line)
        self.assertIn("no valid TOML", self.refused("x = " + "9" * 5000))

    def test_files_that_cannot_be_read(self) -> None:
        for path, reason in [
            (str(self.folder / "none.toml"), "cannot be read: No such file or directory"),
            (str(self.folder), "cannot be read: Is a directory"),
            ("a\x00b", "cannot be read: embedded null byte"),
        ]:
            error = self.assertRaises(ConfigError, load_config, path, Schema, {})
            self.assertEqual((error.file, error.reason), (path, reason))
            self.assertTrue(str(error).isprintable())

    def test_a_schema_that_is_none(self) -> None:
        self.assertRaises(TypeError, load_config, None, int, {})

    def test_paths_start_at_the_folder_of_the_file(self) -> None:
        config = self.load(
            """
            http = { listen = "unix:run/api.sock", certificate = "../tls/cert.pem" }
            users.store = "sqlite:accounts.db"
            proxy.route = [ { to = "a", file = "gw.txt" }, { to = "b", file = "/etc/gw.txt" }, { to = "c" } ]
            """
        )
        self.assertEqual(config.http.listen, f"unix:{self.folder}/run/api.sock")
        self.assertEqual(config.http.certificate, f"{self.folder.parent}/tls/cert.pem")
        self.assertEqual(config.users.store, f"sqlite:{self.folder}/accounts.db")
        self.assertEqual(
            [route.file for route in config.proxy.route], [f"{self.folder}/gw.txt", "/etc/gw.txt", ""]
        )

    def test_what_is_no_relative_path_stays(self) -> None:
        for store in ("memory:", "sqlite:/var/lib/users.db", "postgresql://u@h/d", "redis://h", "sqlite:"):
            self.assertEqual(self.load(f"users.store = '{store}'").users.store, store)
        for listen in ("127.0.0.1:8080", "[::1]:0", "unix:/run/api.sock"):
            self.assertEqual(self.load(f"http.listen = '{listen}'").http.listen, listen)

    def test_a_default_path_starts_at_the_folder_too_and_is_not_spoilt(self) -> None:
        self.assertEqual(self.load("").users.store, f"sqlite:{self.folder}/users.db")
        self.assertEqual(Store().store, "sqlite:users.db")
        self.assertEqual(Schema().users.store, "sqlite:users.db")

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.one_of(st.binary(max_size=200), st.text("[]{}=.\"'\n abc019-_#,:", max_size=200)))
    def test_any_file_gives_a_config_or_a_config_error(self, content: bytes | str) -> None:
        try:
            self.load(content)
        except ConfigError as error:
            self.assertTrue(str(error).startswith(self.path))
            self.assertEqual(len(str(error).splitlines()), 1)


class EnvironmentTests(Base):
    def test_values(self) -> None:
        config = self.load(
            "[registrar]\nmin_expires = 60\n",
            RVOIP_REGISTRAR__MIN_EXPIRES="30",
            RVOIP_REGISTRAR__CLASS="package.Class",
            RVOIP_SIP__LISTEN='["udp:127.0.0.1:5070"]',
            RVOIP_SIP__T1="0.25",
            RVOIP_SIP__FORCE_RPORT="true",
            RVOIP_HTTP__TOKEN="12345",
            RVOIP_USERS__STORE="sqlite:env.db",
            RVOIP_LOG__LEVELS__PROXY="debug",
            RVOIP_PROXY="{ record_route = false }",
        )
        self.assertEqual(config.registrar, Registrar(min_expires=30, class_="package.Class"))
        self.assertEqual(config.sip, Sip(listen=["udp:127.0.0.1:5070"], t1=0.25, force_rport=True))
        self.assertEqual(config.http.token, "12345")
        self.assertEqual(config.users.store, f"sqlite:{self.folder}/env.db")
        self.assertEqual(config.log.levels, {"proxy": "debug"})
        self.assertFalse(config.proxy.record_route)

    def test_a_quoted_string_is_a_toml_string(self) -> None:
        self.assertEqual(self.load("", RVOIP_HTTP__TOKEN='"a\\tb"').http.token, "a\tb")
        self.assertEqual(self.load("", RVOIP_HTTP__TOKEN='x"y').http.token, 'x"y')
        self.assertEqual(self.load("", RVOIP_HTTP__TOKEN="true").http.token, "true")

    def test_a_line_break_adds_no_key(self) -> None:
        self.assertEqual(self.load("", RVOIP_HTTP__TOKEN='"a"\nvalues = 1').http.token, '"a"\nvalues = 1')

    def test_a_table_comes_into_being(self) -> None:
        self.assertEqual(self.load("", RVOIP_REGISTRAR__MIN_EXPIRES="5").registrar, Registrar(min_expires=5))

    def test_what_is_not_ours_is_left_alone(self) -> None:
        config = self.load(
            "", RVOIP_BIN="/x", RVOIP_COMPILE="1", RVOIP_BENCH_BIN="/y", RVOIP_="", HOME="/root"
        )
        self.assertEqual(config.sip, Sip())

    def test_mistakes_name_the_variable(self) -> None:
        for variable, value, line in [
            (
                "RVOIP_REGISTRAR__MIN_EXPIRS",
                "1",
                "RVOIP_REGISTRAR__MIN_EXPIRS: unknown key; did you mean RVOIP_REGISTRAR__MIN_EXPIRES?",
            ),
            (
                "RVOIP_REGISTAR__MIN_EXPIRES",
                "1",
                "RVOIP_REGISTAR__MIN_EXPIRES: unknown key; did you mean RVOIP_REGISTRAR?",
            ),
            ("RVOIP_SIP__T1__X", "1", "RVOIP_SIP__T1__X: unknown key"),
            ("RVOIP_SIP__", "1", "RVOIP_SIP__: unknown key"),
            ("RVOIP_sip__t1", "1", "RVOIP_sip__t1: unknown key"),
            (
                "RVOIP_REGISTRAR__MIN_EXPIRES",
                "soon",
                "RVOIP_REGISTRAR__MIN_EXPIRES: registrar.min_expires: expected int, got str",
            ),
            (
                "RVOIP_REGISTRAR__MIN_EXPIRES",
                "0",
                "RVOIP_REGISTRAR__MIN_EXPIRES: registrar.min_expires: expected int >= 1",
            ),
            (
                "RVOIP_REGISTRAR",
                "{ min_expires = 0 }",
                "RVOIP_REGISTRAR: registrar.min_expires: expected int >= 1",
            ),
            ("RVOIP_SIP__LISTEN", "[1]", "RVOIP_SIP__LISTEN: sip.listen[0]: expected str, got int"),
            ("RVOIP_SIP__T1", "nan", "RVOIP_SIP__T1: sip.t1: must be a finite number"),
            ("RVOIP_PROXY__ROUTE__0__TO", "a", "RVOIP_PROXY__ROUTE__0__TO: unknown key"),
        ]:
            self.assertEqual(self.refused("", **{variable: value}), line)

    def test_a_value_where_a_table_is_needed(self) -> None:
        self.assertEqual(
            self.refused("sip = 5", RVOIP_SIP__T1="1"),
            f"RVOIP_SIP__T1: sip.t1: sip is no table in {self.path}",
        )


class RoleTests(Base):
    TEXT = """
        [sip]
        listen = ["udp:127.0.0.1:5060"]
        t1 = 0.5
        [proxy.sip]
        listen = ["udp:127.0.0.1:5070"]
        [registrar.sip]
        t1 = 2.0
        [http]
        token = "x"
        [proxy.http]
        listen = "127.0.0.1:8081"
        [proxy]
        record_route = false
        """

    def test_a_role_reads_its_own_table_over_the_common_one(self) -> None:
        config = self.load(self.TEXT, role="proxy")
        self.assertEqual(config.sip, Sip(listen=["udp:127.0.0.1:5070"], t1=0.5))
        self.assertEqual(config.http, Http(listen="127.0.0.1:8081", token="x"))
        self.assertFalse(config.proxy.record_route)
        self.assertEqual(self.load(self.TEXT, role="registrar").sip, Sip(t1=2.0))
        self.assertEqual(self.load(self.TEXT, role="").sip, Sip())

    def test_an_override_alone_configures_no_role(self) -> None:
        for role in ("proxy", "registrar", ""):
            self.assertIsNone(self.load(self.TEXT, role=role).registrar)
        self.assertEqual(self.load(self.TEXT + "[registrar]\n", role="registrar").registrar, Registrar())

    def test_an_override_without_a_common_table(self) -> None:
        self.assertEqual(self.load("[proxy.sip]\nt1 = 3", role="proxy").sip, Sip(t1=3.0))

    def test_the_environment_overrides_for_a_role(self) -> None:
        config = self.load(self.TEXT, role="proxy", RVOIP_PROXY__SIP__T1="4.0", RVOIP_SIP__FORCE_RPORT="true")
        self.assertEqual(config.sip, Sip(listen=["udp:127.0.0.1:5070"], t1=4.0, force_rport=True))

    def test_mistakes_are_found_for_every_role_and_named_as_written(self) -> None:
        for text, role, line in [
            ("[proxy.sip]\ntl = 1", "proxy", "proxy.sip.tl: unknown key; did you mean t1?"),
            ("[proxy.sip]\ntl = 1", "registrar", "proxy.sip.tl: unknown key; did you mean t1?"),
            ("[registrar.sip]\nt1 = 'x'", "proxy", "registrar.sip.t1: expected float, got str"),
            ("[sip]\nt1 = 'x'\n[proxy.sip]\nforce_rport = true", "proxy", "sip.t1: expected float, got str"),
            ("proxy.sip = 5", "proxy", "proxy.sip: expected table, got int"),
            (
                "[proxy.log]\nformat = 'json'",
                "proxy",
                "proxy.log: unknown key; known here: record_route, route",
            ),
            ("[all.sip]\nt1 = 1", "all", "all: unknown key"),
        ]:
            line_found = self.refused(text, role=role)
            self.assertTrue(line_found.startswith(line), line_found)
        self.assertEqual(
            self.refused("", role="proxy", RVOIP_PROXY__SIP__T1="99"),
            "RVOIP_PROXY__SIP__T1: proxy.sip.t1: expected float <= 10.0",
        )

    def test_overlay(self) -> None:
        base = {
            "sip": {"a": 1, "deep": {"x": 1, "y": 2}},
            "proxy": {"sip": {"deep": {"y": 3}, "b": [1]}, "z": 1},
        }
        self.assertEqual(
            overlay(base, "proxy", ["sip", "http"]),
            {"sip": {"a": 1, "b": [1], "deep": {"x": 1, "y": 3}}, "proxy": {"z": 1}},
        )
        self.assertEqual(base["sip"], {"a": 1, "deep": {"x": 1, "y": 2}})
        self.assertEqual(overlay(base, "other", ["sip"]), base)
        self.assertEqual(overlay({"proxy": {"sip": {"a": 1}}}, "proxy", ["sip"]), {"sip": {"a": 1}})


class DescriptionTests(Base):
    def test_rows(self) -> None:
        rows = {row.key: row for row in describe(Schema)}
        self.assertEqual(rows["sip"], Row("sip", "table", "", "Where SIP is spoken.", False))
        self.assertEqual(
            rows["sip.listen"],
            Row(
                "sip.listen",
                "list of str",
                '["udp:127.0.0.1:5060"]',
                "transport:host:port, one or more.",
                False,
            ),
        )
        self.assertEqual(rows["sip.t1"], Row("sip.t1", "float, 0.1 to 10", "0.5", "Seconds.", False))
        self.assertEqual(rows["sip.force_rport"].default, "false")
        self.assertEqual(rows["log.format"].type, '"json" | "text"')
        self.assertEqual(rows["log.levels"].type, "table of str")
        self.assertEqual(rows["http.certificate"].type, "path")
        self.assertEqual(rows["http.listen"].type, "address")
        self.assertEqual(rows["users.store"], Row("users.store", "store URL", '"sqlite:users.db"', "", False))
        self.assertEqual(rows["registrar"].doc, "The registrar of RFC 3261 section 10.")
        self.assertEqual(
            rows["registrar.min_expires"],
            Row("registrar.min_expires", "int, at least 1", "60", "Shortest lifetime.", False),
        )
        self.assertEqual(rows["registrar.class"].type, "str")
        self.assertEqual((rows["registrar.limit"].type, rows["registrar.limit"].default), ("int", ""))
        self.assertEqual(
            rows["proxy.route[]"], Row("proxy.route[]", "list of tables", "", "First match wins.", False)
        )
        self.assertEqual(rows["proxy.route[].to"], Row("proxy.route[].to", "str", "", "", True))
        self.assertRaises(TypeError, describe, int)

    def test_the_file_of_defaults_is_the_defaults(self) -> None:
        text = defaults_file(Schema)
        self.assertEqual(self.load(text), self.load(""))
        self.assertIn("# transport:host:port, one or more.\nlisten = [", text)
        self.assertIn("# [registrar]\n# Shortest lifetime.\n# min_expires = 60\n", text)
        self.assertIn("# [[proxy.route]]\n# to =   (str)\n# weight = 1\n", text)
        self.assertEqual(
            tomllib.loads(text)["http"], {"listen": "127.0.0.1:8080", "token": "", "certificate": ""}
        )
