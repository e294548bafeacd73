"""Makes the school's registrar a command of twistd."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

registrar = ServiceMaker("school registrar", "school", "The school's SIP registrar.", "school-registrar")
