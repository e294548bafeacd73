"""What secure media costs: microseconds of CPU for each packet and suite, beside pylibsrtp's own sessions.

    python tools/bench_srtp.py [--packets 20000] [--legs 500]

Packets of 20 ms of G.711 (160 octets) of `--legs` legs, in batches of one packet a leg, as a media
server has them at each tick. The best of five runs.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import pylibsrtp

from rvoip.protocols.rtp.srtp import SecureLeg, SecureLegs
from rvoip.protocols.rtp.suites import SUITES, MasterKey, Suite

RUNS = 5
SLOT = 1536
PEERS = {
    "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


def packet(sequence: int) -> bytes:
    """One RTP packet."""
    return b"\x80\x08" + (sequence & 0xFFFF).to_bytes(2, "big") + b"\0\0\0\0\x01\x02\x03\x04" + bytes(160)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def batches(suite: Suite, packets: int, legs: int) -> tuple[float, float]:
    """Seconds to protect and to open, in place."""
    ours, theirs = (
        MasterKey.cut(suite, os.urandom(suite.length)),
        MasterKey.cut(suite, os.urandom(suite.length)),
    )
    sending, receiving = SecureLegs(), SecureLegs()
    for _ in range(legs):
        sending.add(SecureLeg(theirs, ours))
        receiving.add(SecureLeg(ours, theirs))
    buffer = np.zeros((legs, SLOT), np.uint8)
    lengths = np.zeros(legs, np.int32)
    rows = np.arange(legs)
    protecting = opening = 0.0
    for sequence in range(max(packets // legs, 1) + 1):
        one = packet(sequence)
        buffer[:, : len(one)] = np.frombuffer(one, np.uint8)
        lengths[:] = len(one)
        seconds = cpu(lambda: sending.protect(rows, buffer, lengths, rows))
        protecting += seconds if sequence else 0.0  # the first packet of a source is another path
        seconds = cpu(lambda: receiving.unprotect(rows, buffer, lengths, rows))
        opening += seconds if sequence else 0.0
        if int((lengths == len(one)).sum()) != legs:
            raise SystemExit("packets were lost")
    return protecting, opening


def singles(suite: Suite, packets: int) -> tuple[float, float]:
    """Seconds to protect and to open, packet by packet."""
    one = MasterKey.cut(suite, os.urandom(suite.length))
    leg = SecureLeg(one, one)
    plain = [packet(sequence) for sequence in range(packets)]
    sealed: list[bytes] = []
    protecting = cpu(lambda: sealed.extend(leg.protect(one) or b"" for one in plain))
    opened: list[bytes | None] = []
    opening = cpu(lambda: opened.extend(leg.unprotect(one) for one in sealed))
    if opened != plain:
        raise SystemExit("packets were lost")
    return protecting, opening


def peer(suite: Suite, packets: int) -> tuple[float, float] | None:
    """The same by `pylibsrtp.Session`."""
    profile = PEERS.get(suite.name)
    if profile is None:
        return None
    material = os.urandom(suite.length)
    outbound, inbound = (
        pylibsrtp.Session(pylibsrtp.Policy(key=material, ssrc_type=kind, srtp_profile=profile))
        for kind in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    )
    plain = [packet(sequence) for sequence in range(packets)]
    sealed: list[bytes] = []
    protecting = cpu(lambda: sealed.extend(map(outbound.protect, plain)))
    return protecting, cpu(lambda: sealed.extend(map(inbound.unprotect, sealed[:])))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--packets", type=int, default=20000)
    parser.add_argument("--legs", type=int, default=500)
    options = parser.parse_args()
    print(f"{'us per packet, protect / open':<28}{'batch':>16}{'single':>16}{'pylibsrtp':>16}")
    for suite in SUITES.values():
        columns = []
        for measure in (
            lambda s: batches(s, options.packets, options.legs),
            lambda s: singles(s, options.packets),
            lambda s: peer(s, options.packets),
        ):
            runs = [run for run in (measure(suite) for _ in range(RUNS)) if run is not None]
            if not runs:
                columns.append("-")
                continue
            best = [min(run[side] for run in runs) / options.packets * 1e6 for side in (0, 1)]
            columns.append(f"{best[0]:.2f} / {best[1]:.2f}")
        print(f"{suite.name:<28}" + "".join(f"{column:>16}" for column in columns))


if __name__ == "__main__":
    main()
