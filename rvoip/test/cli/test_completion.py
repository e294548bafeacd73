"""`rvoip completion`, by the shell itself."""

from __future__ import annotations

import shutil
import subprocess

from twisted.trial.unittest import SkipTest, TestCase

from rvoip.test.cli.running import run


class BashTests(TestCase):
    """What bash offers for a line that is not finished."""

    shell, options, emulation = "bash", "--norc", ""

    def setUp(self) -> None:
        self.path = shutil.which(self.shell)
        if self.path is None:
            raise SkipTest(f"{self.shell} is not here")
        status, self.script, _ = run("completion", self.shell)
        self.assertEqual(status, 0)

    def complete(self, line: str) -> set[str]:
        words = line.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        ask = f"{self.emulation}COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        ask += "_rvoip_completion; echo ${COMPREPLY[@]}"
        assert self.path is not None
        done = subprocess.run(
            [self.path, self.options, "-c", f"{self.script}\n{ask}"],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_subcommands(self) -> None:
        self.assertLessEqual({"user", "binding", "ladder", "status", "check"}, self.complete("rvoip "))
        self.assertEqual(self.complete("rvoip us"), {"user"})

    def test_actions_and_options(self) -> None:
        self.assertEqual(self.complete("rvoip user rem"), {"remove"})
        self.assertEqual(self.complete("rvoip binding list --j"), {"--json"})
        self.assertIn("--password-stdin", self.complete("rvoip user add alice@example.test --"))

    def test_an_option_before_the_action_does_not_confuse(self) -> None:
        self.assertEqual(self.complete("rvoip user list --json --conf"), {"--config"})

    def test_an_argument_that_looks_like_a_subcommand(self) -> None:
        self.assertEqual(self.complete("rvoip user import user --js"), {"--json"})

    def test_choices(self) -> None:
        self.assertEqual(self.complete("rvoip completion ba"), {"bash"})
        self.assertEqual(self.complete("rvoip completion z"), {"zsh"})

    def test_values_of_an_option(self) -> None:
        self.assertEqual(self.complete("rvoip status --role re"), {"registrar"})
        scopes = self.complete("rvoip apikey add grafana --scope oper")
        self.assertEqual(scopes, {"operations:read", "operations:write"})
        self.assertEqual(self.complete("rvoip gateway set pstn:a dis"), {"disabled"})

    def test_nothing_to_offer_leaves_file_names_to_bash(self) -> None:
        self.assertEqual(self.complete("rvoip user import ./some"), set())
        self.assertIn("complete -o default", self.script)


class ZshTests(BashTests):
    """The same in zsh, with the options that its bashcompinit calls such functions with."""

    shell, options = "zsh", "-f"
    emulation = "emulate sh; setopt kshglob noshglob braceexpand; "

    def complete(self, line: str) -> set[str]:
        """zsh itself leaves out what does not begin as the word does."""
        word = line.rpartition(" ")[2]
        return {found for found in super().complete(line) if found.startswith(word)}
