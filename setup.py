"""With RVOIP_COMPILE=1 in the environment the modules of the hot paths become C, by mypyc.

The same Python is compiled and interpreted: see docs/howto/compile.md.
"""

from __future__ import annotations

import os
from configparser import ConfigParser
from typing import Any

from setuptools import setup

COMPILED = """
    auth/nonce auth/replay auth/verify
    common/wheel
    protocols/dialog/answered protocols/dialog/client protocols/dialog/concluded protocols/dialog/server
    protocols/dialog/timers protocols/dialog/transaction protocols/dialog/transactions protocols/sip/address
    protocols/sip/build protocols/sip/check protocols/sip/digest protocols/sip/grammar protocols/sip/headers
    protocols/sip/message protocols/sip/names protocols/sip/reader protocols/sip/uri
    protocols/transport/bounded protocols/transport/counters protocols/transport/guard
    protocols/transport/locate protocols/transport/selection
    protocols/transport/intake protocols/transport/udp
    proxy/identity proxy/peers proxy/proxy proxy/topology
    proxy/ack proxy/branch proxy/calls proxy/context proxy/dialogs proxy/diversion proxy/ends proxy/fork
    proxy/forward proxy/inbound proxy/outgoing proxy/passing proxy/record_route proxy/ringing
    proxy/route_context proxy/stateless proxy/targets
    registrar/binding registrar/compare_and_set registrar/reading registrar/refresh registrar/stores/index
    registrar/stores/memory
    services/domains services/tokens
    services/core services/early_register services/gate services/glance services/location
    services/plain_register services/registration services/screen services/tracing services/waiting_room
    trace/ring
""".split()
"""Modules that are compiled, below rvoip/.

Interfaces, exceptions and attrs classes are not among them: mypyc leaves those to the interpreter, or breaks.
"""


_TYPES = ["--ignore-missing-imports"]
"""What is optional need not be there: nothing that is compiled uses it, but may import what does."""


def compiled() -> dict[str, Any]:
    """The arguments of a compiled build; those that ask for the compiler where it is not there yet."""
    try:
        from mypyc.build import mypycify
    except ImportError:
        settings = ConfigParser()
        settings.read("setup.cfg", encoding="utf-8")
        # The compiler reads the types of what is imported.
        needed = settings["options"]["install_requires"] + settings["options.extras_require"]["ws"]
        return {"setup_requires": [*filter(None, needed.split("\n")), "mypy >= 2.4", "mypy-zope >= 1.0.17"]}
    return {"ext_modules": mypycify([*_TYPES, *(f"rvoip/{name}.py" for name in COMPILED)], opt_level="3")}


setup(**(compiled() if os.environ.get("RVOIP_COMPILE") == "1" else {}))
