"""One line for the operator."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.errors import ConfigError, StartError, exit_in_one_line


class ErrorTests(SynchronousTestCase):
    def test_config_error_is_one_line(self) -> None:
        for error, line in [
            (ConfigError("a.toml", "sip.t1", "expected float"), "a.toml: sip.t1: expected float"),
            (ConfigError("a.toml", "sip.tl", "unknown key", "did you mean t1?"),
             "a.toml: sip.tl: unknown key; did you mean t1?"),
            (ConfigError("a.toml", "", "no such file"), "a.toml: no such file"),
            (ConfigError("", "", "broken"), "broken"),
            (ConfigError("a\nb", "k\x1b[0m", "r\r\n"), "a\\nb: k\\x1b[0m: r\\r\\n"),
        ]:  # fmt: skip
            self.assertEqual(str(error), line)

    def test_parts_are_kept(self) -> None:
        error = ConfigError("f", "k", "r", "m")
        self.assertEqual((error.file, error.key, error.reason, error.remedy), ("f", "k", "r", "m"))

    def test_start_error_is_one_line(self) -> None:
        self.assertEqual(str(StartError("port in use\n")), "port in use\\n")

    def fail_with(self, error: Exception) -> None:
        with exit_in_one_line():
            raise error

    def test_exit_in_one_line(self) -> None:
        for error in (StartError("port 5060 is in use"), ConfigError("f", "", "port 5060 is in use")):
            stopped = self.assertRaises(SystemExit, self.fail_with, error)
            self.assertEqual(stopped.code, str(error))
            self.assertTrue(stopped.__suppress_context__)

    def test_other_errors_pass(self) -> None:
        self.assertRaises(ValueError, self.fail_with, ValueError("a bug"))
        with exit_in_one_line():
            pass
