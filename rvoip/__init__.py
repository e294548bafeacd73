"""Small VoIP libraries and the SIP servers composed from them, on Twisted.

`common` and `protocols` are the ground floor; `users`, `auth`, `registrar` and `proxy` stand on it;
`services` composes server roles out of them, and `cli` is the `rvoip` command. docs/architecture.md is
the map, with the rules of who may import whom.
"""

from __future__ import annotations

__version__ = "0.1.0"
