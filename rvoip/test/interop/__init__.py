"""Tests against programs that others wrote: baresip, PJSIP, sipp, sipsak, Kamailio, OpenSSL.

`make interop` runs them, after tools/install-peers.sh. Each test starts the programs that it needs, and a
role in a process of its own, on loopback addresses that nothing else here uses.
"""
