"""The proxy role: `twistd -n --pidfile= -y proxy.tac`.

Its configuration is proxy.toml beside this file, or the file that RVOIP_CONFIG names.
"""

from __future__ import annotations

import os

from twisted.application.service import Application

from rvoip.services.proxy import Options, makeService

beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.toml")
options = Options()
options.parseOptions(["--config", os.environ.get("RVOIP_CONFIG") or beside])

application = Application("rvoip-proxy")
makeService(options).setServiceParent(application)
