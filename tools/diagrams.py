"""Draw docs/reference/transactions.md and dialogs.md from the machines: their tables, when their timers fire.

    python tools/diagrams.py            write the pages
    python tools/diagrams.py --check    exit with status 1 when a page is not what would be written

A unit test checks the same, so no page is ever behind the code. The tables of dialogs.md are made by
tools/dialog_diagrams.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.dialog.transaction import (
    ACK,
    END,
    PASS,
    PROVISIONAL,
    SEND,
    TIMEOUT,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
)

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PAGE = REFERENCE / "transactions.md"

HEAD = """\
# Transactions

A transaction is a request and its responses. Four machines, in `rvoip.protocols.dialog.transaction`, keep the
rules of RFC 3261 section 17, as RFC 6026 and RFC 4320 changed them; this page is made from their tables by
`tools/diagrams.py`. What no row names is absorbed.

All times follow from `[sip] t1` (T1, here 0.5 s), T2 = 4 s and T4 = 5 s. Over TCP and TLS nothing is sent
again, and timers D, I, J and K take no time: the transaction ends at once. A transport error is told to the
user of a client that has no final response yet.
"""

CLIENT = {
    SEND: "send the request again",
    ACK: "send an ACK",
    PASS: "tell the user",
    TIMEOUT: "tell the user of the timeout",
    END: "forget it",
}
SERVER = {
    SEND: "send the response (again)",
    PROVISIONAL: "answer 100",
    PASS: "tell the user",
    TIMEOUT: "tell the user of the timeout",
    END: "forget it",
}


def actions_text(actions: int, words: dict[int, str]) -> str:
    """What the owner of a machine does, in words."""
    return ", ".join(text for flag, text in words.items() if actions & flag) or "nothing"


def table(machine: Any, words: dict[int, str]) -> str:
    """The machine's transitions as a Markdown table; a state is named in its first row only."""
    lines = ["| state | event | next state | what is done |", "|---|---|---|---|"]
    before = ""
    for (state, event), (following, actions) in machine.TRANSITIONS.items():
        shown = "" if state == before else state
        stays = "" if following == state else following
        lines.append(f"| {shown} | {event} | {stays} | {actions_text(actions, words)} |")
        before = state
    return "\n".join(lines)


def times(machine: Any, wanted: int) -> str:
    """The seconds at which `tick` does one of the wanted things, if nothing comes in."""
    found = []
    while machine.deadline is not None:
        now = machine.deadline
        if machine.tick(now) & wanted:
            found.append(f"{now:g}")
    return ", ".join(found)


def answered(machine: Any, status: int, ack: bool = False) -> Any:
    """The machine after a response at 0 s, and perhaps its ACK."""
    (machine.receive if hasattr(machine, "fail") else machine.respond)(status, 0.0)
    if ack:
        machine.receive("ACK", 0.0)
    return machine


def timer_rows() -> list[tuple[str, str, str]]:
    """(what happens, seconds over UDP, seconds over TCP), from the machines themselves."""

    def row(what: str, make: Callable[[bool], Any], wanted: int) -> tuple[str, str, str]:
        return what, times(make(False), wanted) or "at once", times(make(True), wanted) or "-"

    timers = Timers()
    rows = [
        row("INVITE sent again (A)", lambda tcp: InviteClient(timers, tcp, 0.0), SEND),
        row("INVITE not answered (B)", lambda tcp: InviteClient(timers, tcp, 0.0), TIMEOUT),
        row("after its 300-699 (D)", lambda tcp: answered(InviteClient(timers, tcp, 0.0), 486), END),
        row("after its 2xx (M)", lambda tcp: answered(InviteClient(timers, tcp, 0.0), 200), END),
        row("other request sent again (E)", lambda tcp: NonInviteClient(timers, tcp, 0.0), SEND),
        row("after a 1xx (E)", lambda tcp: answered(NonInviteClient(timers, tcp, 0.0), 100), SEND),
        row("other request not answered (F)", lambda tcp: NonInviteClient(timers, tcp, 0.0), TIMEOUT),
        row("after its answer (K)", lambda tcp: answered(NonInviteClient(timers, tcp, 0.0), 200), END),
        row("100 to an INVITE", lambda tcp: InviteServer(timers, tcp, 0.0), PROVISIONAL),
        row("300-699 sent again (G)", lambda tcp: answered(InviteServer(timers, tcp, 0.0), 486), SEND),
        row("no ACK came (H)", lambda tcp: answered(InviteServer(timers, tcp, 0.0), 486), TIMEOUT),
        row("after the ACK (I)", lambda tcp: answered(InviteServer(timers, tcp, 0.0), 486, True), END),
        row("after a 2xx (L)", lambda tcp: answered(InviteServer(timers, tcp, 0.0), 200), END),
        row("100 to another request", lambda tcp: NonInviteServer(timers, tcp, 0.0), PROVISIONAL),
        row("its answer is late", lambda tcp: NonInviteServer(timers, tcp, 0.0), TIMEOUT),
        row("after its answer (J)", lambda tcp: answered(NonInviteServer(timers, tcp, 0.0), 200), END),
    ]
    return rows


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, source, machine, words in (
        ("INVITE client", "RFC 3261 figure 5, RFC 6026 figure 5", InviteClient, CLIENT),
        ("Client of another request", "RFC 3261 figure 6", NonInviteClient, CLIENT),
        ("INVITE server", "RFC 3261 figure 7, RFC 6026 figure 7", InviteServer, SERVER),
        ("Server of another request", "RFC 3261 figure 8, RFC 4320", NonInviteServer, SERVER),
    ):
        parts.append(
            f"## {title}\n\n{source}. An empty next state is the same state.\n\n{table(machine, words)}\n"
        )
    lines = ["| what | s over UDP | s over TCP, TLS |", "|---|---|---|"]
    lines += [f"| {what} | {udp} | {tcp} |" for what, udp, tcp in timer_rows()]
    parts.append(
        "## Timers\n\nSeconds since the request, or the response, if nothing else comes.\n\n"
        + "\n".join(lines)
        + "\n"
    )
    return "\n".join(parts)


def dialogs_page() -> str:
    """The page of the machines of dialogs."""
    spec = spec_from_file_location(
        "rvoip_tools_dialog_diagrams", Path(__file__).parent / "dialog_diagrams.py"
    )
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    made: str = module.page()
    return made


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit status."""
    status = 0
    for path, made in ((PAGE, page()), (REFERENCE / "dialogs.md", dialogs_page())):
        if arguments == ["--check"]:
            same = path.exists() and path.read_text(encoding="utf-8") == made
            print("up to date" if same else f"{path} is not up to date: run tools/diagrams.py")
            status = status or int(not same)
        else:
            path.write_text(made, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
