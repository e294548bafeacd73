"""What whoever moves datagrams of media gives to those that work on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from rvoip.protocols.rtp.batch import Batch, PortTotals

__all__ = ["IBatchPort"]


class IBatchPort(Interface):
    """All UDP sockets of a process, read and written as batches.

    It belongs to the process and the thread in which `start` was called. A socket is known by its index, a
    small number; an index is used again after `close`.
    """

    name = Attribute("Which back end this is: 'uring', 'mmsg' or 'stock'.")

    totals: PortTotals = Attribute("What was counted over all sockets since the start.")

    def start(received: Callable[[Batch], object] | None = None) -> None:
        """Begin, in the thread of the reactor and after the process has gone into the background.

        `received` is called with each batch that is not empty: at once after a silence, and at most once in
        `interval` seconds while datagrams keep coming. Without it nothing is read but by `receive`.
        Raises PortError where this machine cannot.
        """

    def stop() -> None:
        """Close all sockets and end. Batches that are still held stay readable."""

    def open(host: str, port: int = 0) -> int:
        """Bind a socket to a numeric address of ours; 0 is any free port. Returns its index. Raises
        PortError.
        """

    def open_pair(host: str, port: int = 0) -> tuple[int, int]:
        """Bind an even port and the one above it, for RTP and RTCP (RFC 3550 section 11). Raises
        PortError.
        """

    def close(index: int) -> None:
        """Free the port at once. What it had received and nobody has read is lost; an unknown index is
        nothing.
        """

    def address(index: int) -> tuple[str, int]:
        """The (host, port) to which the socket is bound. Raises PortError where it is closed."""

    def receive() -> Batch:
        """Take what has come, without waiting; sockets in no set order, each one's datagrams in theirs.

        Call it from `received` or from a tick. The batch is valid until the next call.
        """

    def send(
        buffer: NDArray[np.uint8],
        lengths: NDArray[Any],
        sockets: NDArray[Any],
        destinations: NDArray[np.uint64],
        rows: NDArray[Any] | None = None,
    ) -> int:
        """Send datagram i, octets 0 to `lengths[i]` of row `rows[i]` (or i) of `buffer`, from socket
        `sockets[i]`.

        `destinations`: rows of `addresses`. All is copied when this returns. Returns how many the kernel
        took. What it refused is counted (`send_failures`), never raised; where it had no room, it is asked
        once more. Raises ValueError where the arrays do not fit each other.
        """

    def truncated(index: int) -> int:
        """How many datagrams to this socket were longer than a slot, and dropped."""

    def send_failures(index: int) -> int:
        """How many datagrams of this socket the kernel refused to send."""

    def kernel_drops(index: int) -> int:
        """How many datagrams the kernel had no room for in this socket, where it tells; otherwise 0."""
