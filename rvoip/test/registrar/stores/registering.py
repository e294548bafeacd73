"""A program that registers until it is killed: run by test_kill.

It is started once and forks for each round, in a tenth of the time that another interpreter takes. A round
is a line on stdin, `PATH FIRST`; what is acknowledged goes to stdout as it happens, `ack AOR CSEQ` or
`gone AOR CSEQ`, and `dead` when the child has ended.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count

from twisted.internet.defer import Deferred

from rvoip.registrar.binding import ALL_CONTACTS, Applied, Change, Outcome
from rvoip.registrar.stores.sqlite import SQLiteStore
from rvoip.test.registrar.stores.contract import bound
from rvoip.test.registrar.stores.threads import Pump

AORS = 50


def say(line: str) -> None:
    """In one write, so that no line is cut."""
    os.write(1, f"{line}\n".encode())


def acknowledged(applied: Applied) -> None:
    change = applied.change
    if applied.outcome in (Outcome.CREATED, Outcome.REFRESHED):
        say(f"ack {change.aor} {change.cseq}")
    elif applied.outcome is Outcome.REMOVED:
        say(f"gone {change.aor} {change.cseq}")
    else:
        say(f"refused {change.aor} {change.cseq} {applied.outcome}")


def register_for_ever(path: str, first: int) -> None:
    """Refresh, and now and then remove, a few AORs in turn, some at a time."""
    pump = Pump()
    store = SQLiteStore(path, pump, window=0.0005)
    store.open(time.monotonic(), time.time())
    say("open")
    for cseq in count(first):
        waiting: list[Deferred[None]] = []
        for number in range(cseq * 7, cseq * 7 + 7):
            aor = f"{number % AORS}@h"
            now = time.monotonic()
            change = Change(aor, now, (bound(cseq=cseq, now=now, granted=3600),), (), "X", cseq)
            if number % 5 == 0:
                change = Change(aor, now, (), ALL_CONTACTS, "X", cseq)
            waiting.append(store.apply(change).addCallback(acknowledged))
        for each in waiting:
            pump.wait(each)


def main() -> None:
    for line in sys.stdin:
        path, _, first = line.strip().rpartition(" ")
        child = os.fork()
        if not child:
            try:
                register_for_ever(path, int(first))
            finally:
                os._exit(1)
        say(f"child {child}")
        os.waitpid(child, 0)
        say("dead")


if __name__ == "__main__":
    main()
