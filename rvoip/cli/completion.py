"""`rvoip completion`: a script that lets a shell complete the command, written from its own parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from rvoip.cli.output import write_line

__all__ = ["configure", "script"]

_FIRST: Final = {
    "bash": "",
    # It comes with what stands in for bash; whoever sources this may have run compinit already, with options.
    "zsh": "(( $+functions[compdef] )) || { autoload -U compinit && compinit; }\n"
    "autoload -U bashcompinit && bashcompinit\n",
}
"""What a shell needs before the function, which is the same for both."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
    parser.add_argument(
        "shell",
        choices=tuple(_FIRST),
        help="the shell: source <(rvoip completion bash) in ~/.bashrc, for bash",
    )


def _run(args: argparse.Namespace) -> int:
    from rvoip.cli.main import make_parser

    for line in script(make_parser(), args.shell).splitlines():
        write_line(line)
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """A completion function for `parser`: its words by where in the command line one is, else file names."""
    program = parser.prog
    cases = []
    for path, words in _words(parser, ()):
        key = " ".join(path)
        cases.append(f'        "{key}") offer="{" ".join(words)}" ;;')
    values = [
        f'        "{" ".join(path)}") offer="{" ".join(words)}" ;;' for path, words in _values(parser, ())
    ]
    return _SCRIPT.format(
        program=program,
        shell=shell,
        first=_FIRST[shell],
        cases="\n".join(cases),
        values="\n".join(values),
        paths=" ".join(_paths(parser)),
    )


def _words(
    parser: argparse.ArgumentParser, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    words: list[str] = []
    inner: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices
            words += inner
        elif action.option_strings:
            words += [option for option in action.option_strings if option.startswith("--")]
        elif action.choices:
            words += [str(choice) for choice in action.choices]
    yield path, words
    for name, subparser in inner.items():
        yield from _words(subparser, (*path, name))


def _values(
    parser: argparse.ArgumentParser, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """What can follow an option that takes one of a few values; the option is the last part of the path."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                yield from _values(subparser, (*path, name))
        elif action.option_strings and action.choices:
            # The shell would look for files that match a pattern.
            words = [str(choice) for choice in action.choices if "*" not in str(choice)]
            for option in action.option_strings:
                yield (*path, option), words


def _paths(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Each subcommand and action as one word of a pattern: `user`, `user/add`."""
    for path, _ in _words(parser, ()):
        if path:
            yield "/".join(path)


# zsh has its own `path` and `words`, so the function has none.
_SCRIPT = """\
# Completion of {program} for {shell}.
{first}_{program}_completion() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} way="" offer="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case " {paths} " in
            *" ${{way:+${{way// //}}/}}${{COMP_WORDS[index]}} "*)
                way+=${{way:+ }}${{COMP_WORDS[index]}}
                ;;
        esac
    done
    case "$way" in
{cases}
    esac
    case "$way ${{COMP_WORDS[COMP_CWORD - 1]}}" in
{values}
    esac
    COMPREPLY=($(compgen -W "$offer" -- "$current"))
}}
complete -o default -F _{program}_completion {program}
"""
