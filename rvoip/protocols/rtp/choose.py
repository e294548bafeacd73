"""Which back end of the batch port this machine gets: what the kernel permits is tried, not guessed."""

from __future__ import annotations

import select
from typing import Any, Final

import numpy as np
from twisted.logger import Logger

from rvoip.protocols.rtp.addresses import pack_addresses
from rvoip.protocols.rtp.batch import BatchPort
from rvoip.protocols.rtp.errors import PortError
from rvoip.protocols.rtp.mmsg import MmsgPort
from rvoip.protocols.rtp.stock import StockPort
from rvoip.protocols.rtp.uring import UringPort

__all__ = ["BACK_ENDS", "choose"]

BACK_ENDS: Final[dict[str, type[BatchPort]]] = {"uring": UringPort, "mmsg": MmsgPort, "stock": StockPort}
"""All of them, the best first."""

_TRIAL: Final = 1.0
"""Seconds that a datagram of ours may take to come back: it takes microseconds."""

_log = Logger()


def choose(reactor: Any, kind: str = "auto", **options: Any) -> BatchPort:
    """A port, not yet started, of the best back end that works here, or of the one that `kind` names.

    Call it where the port will be used: in the reactor's thread, in the background. `options` are those of
    `BatchPort`. One line in the log says which it is, and what the better ones lack. Raises PortError where
    the back end that was named does not work here.
    """
    if kind != "auto":
        if kind not in BACK_ENDS:
            raise PortError(f"{kind!r} is none of auto, {', '.join(BACK_ENDS)}")
        _try(BACK_ENDS[kind], reactor)
        _log.info("Media ports: {back_end}, as configured", back_end=kind)
        return BACK_ENDS[kind](reactor, **options)
    lacking = []
    for name, back_end in BACK_ENDS.items():
        try:
            _try(back_end, reactor)
        except PortError as error:
            lacking.append(str(error))
            continue
        _log.info(
            "Media ports: {back_end}{why}",
            back_end=name,
            why=f" ({'; '.join(lacking)})" if lacking else ", the fastest there is",
        )
        return back_end(reactor, **options)
    raise PortError("; ".join(lacking))


def _try(back_end: type[BatchPort], reactor: Any) -> None:
    """Have a datagram come back to us, twice by the same port. Raises PortError."""
    port = back_end(reactor)
    port.start()
    try:
        if port.descriptor < 0:
            return  # the reactor reads, and it is not running for us
        number = 0
        arrival = select.poll()
        for _ in range(2):
            index = port.open("127.0.0.1", number)
            address = port.address(index)
            number = address[1]
            sent = np.frombuffer(b"\0rvoip", np.uint8).reshape(1, -1)
            port.send(sent, np.array([6]), np.array([index]), pack_addresses([address]))
            arrival.register(port.descriptor, select.POLLIN)
            arrival.poll(_TRIAL * 1000)
            batch = port.receive()
            if batch.count != 1 or batch.datagram(0) != sent.tobytes():
                raise PortError(f"{back_end.name}: a datagram of ours did not come back")
            port.close(index)
    finally:
        port.stop()
