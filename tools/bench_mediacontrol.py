"""What a command to a media server costs its client: CPU time of the client's process, over either transport.

    python tools/bench_mediacontrol.py [--commands 5000] [--waiting 32]

A fake media server runs in a process of its own. "one by one" waits for each answer before the next command,
"pipelined" keeps --waiting commands under way, as a controller with many calls does. CPU is user and system
time of the client's process, reactor and sockets included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from rvoip.mediacontrol.client import HTTPMediaServer
from rvoip.mediacontrol.control_client import ControlMediaServer
from rvoip.mediacontrol.schema import CreateEndpoint, Play
from rvoip.testing.media import FakeMediaServer
from rvoip.testing.media_contract import OFFER
from rvoip.testing.media_http import serve_media

reactor: Any = _reactor
SDP = OFFER.format(port=40000, direction="sendrecv")


def serve() -> None:
    """Run the fake on any port of loopback; the port goes to standard output."""
    service = serve_media(reactor, "127.0.0.1:0", FakeMediaServer(reactor, capacity=10_000_000))
    service.privilegedStartService()
    service.startService()
    address: Any = service.address
    print(address.port, flush=True)
    reactor.run()


async def _measure(name: str, server: Any, commands: int, waiting: int) -> None:
    made = await server.create_endpoint(CreateEndpoint(sdp=SDP))

    async def stats(count: int) -> None:
        for _ in range(count):
            await server.stats()

    async def play(count: int) -> None:
        for _ in range(count):
            playing = await server.play(made.id, Play(source="tone:440"))
            await server.stop(made.id, "play", playing.id)

    async def create(count: int) -> None:
        for _ in range(count):
            endpoint = await server.create_endpoint(CreateEndpoint(sdp=SDP))
            await server.delete_endpoint(endpoint.id)

    for kind, doing, each in (("stats", stats, 1), ("play, stop", play, 2), ("create, delete", create, 2)):
        for label, streams in (("one by one", 1), ("pipelined", waiting)):
            share = max(1, commands // each // streams)
            began, cpu = time.perf_counter(), time.process_time()
            await gatherResults([Deferred.fromCoroutine(doing(share)) for _ in range(streams)])
            count = share * streams * each
            spent, wall = time.process_time() - cpu, time.perf_counter() - began
            print(
                f"{name:9} {kind:15} {label:10} {spent / count * 1e6:6.0f} us CPU"
                f" {wall / count * 1e6:6.0f} us a command"
            )


async def _run(options: argparse.Namespace) -> None:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            control = ControlMediaServer(reactor, url)
            control.open()
            while not control.is_connected:
                await deferLater(reactor, 0.01)
            await _measure("WebSocket", control, options.commands, options.waiting)
            control.close()
            http = HTTPMediaServer(reactor, url)
            await _measure("HTTP", http, options.commands // 5, min(options.waiting, 16))
            await http.close()
        finally:
            process.terminate()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="What a command to a media server costs its client.")
    parser.add_argument("--commands", type=int, default=5000)
    parser.add_argument("--waiting", type=int, default=32)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    else:
        react(lambda _: Deferred.fromCoroutine(_run(options)))


if __name__ == "__main__":
    main()
