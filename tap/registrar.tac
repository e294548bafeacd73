"""The registrar role: `twistd -n --pidfile= -y registrar.tac`.

Its configuration is registrar.toml beside this file, or the file that RVOIP_CONFIG names.
"""

from __future__ import annotations

import os

from twisted.application.service import Application

from rvoip.services.registrar import Options, makeService

beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "registrar.toml")
options = Options()
options.parseOptions(["--config", os.environ.get("RVOIP_CONFIG") or beside])

application = Application("rvoip-registrar")
makeService(options).setServiceParent(application)
