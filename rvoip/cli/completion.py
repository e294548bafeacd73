"""`rvoip completion`: a script that lets a shell complete the command, written from its own parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rvoip.cli.output import write_line

__all__ = ["bash_script", "configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=_run)
    parser.add_argument(
        "shell", choices=("bash",), help='the shell: source <(rvoip completion bash) in ~/.bashrc, for "bash"'
    )


def _run(args: argparse.Namespace) -> int:
    from rvoip.cli.main import make_parser

    for line in bash_script(make_parser()).splitlines():
        write_line(line)
    return 0


def bash_script(parser: argparse.ArgumentParser) -> str:
    """A completion function for `parser`: its words by where in the command line one is, else file names."""
    program = parser.prog
    cases = []
    for path, words in _words(parser, ()):
        key = " ".join(path)
        cases.append(f'        "{key}") words="{" ".join(words)}" ;;')
    values = [
        f'        "{" ".join(path)}") words="{" ".join(words)}" ;;' for path, words in _values(parser, ())
    ]
    return _SCRIPT.format(
        program=program,
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


_SCRIPT = """\
# Completion of {program} for bash.
_{program}_completion() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} path="" words="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case " {paths} " in
            *" ${{path:+${{path// //}}/}}${{COMP_WORDS[index]}} "*)
                path+=${{path:+ }}${{COMP_WORDS[index]}}
                ;;
        esac
    done
    case "$path" in
{cases}
    esac
    case "$path ${{COMP_WORDS[COMP_CWORD - 1]}}" in
{values}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _{program}_completion {program}
"""
