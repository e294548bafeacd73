"""What the tables of the configuration mean for the libraries: their settings, and where the key is kept."""

from __future__ import annotations

import os

from rvoip.proxy.settings import ProxySettings
from rvoip.registrar.settings import RegistrarSettings
from rvoip.services.config import Config
from rvoip.services.config import Registrar as RegistrarTable

__all__ = ["proxy_settings", "registrar_settings", "secret_path"]


def secret_path(config: Config) -> str:
    """Where the key of our Record-Route values is kept: as configured, else beside the accounts."""
    if config.proxy.secret_file:
        return config.proxy.secret_file
    scheme, _, path = config.users.store.partition(":")
    return os.path.join(os.path.dirname(path), "proxy.key") if scheme == "sqlite" else ""


def registrar_settings(table: RegistrarTable) -> RegistrarSettings:
    """The rules that the `[registrar]` table asks for."""
    return RegistrarSettings(
        default_expires=table.default_expires,
        min_expires=table.min_expires,
        max_expires=table.max_expires,
        max_contacts=table.max_contacts,
        service_route=tuple(table.service_route),
        flow_timer=table.flow_timer,
        gruu=table.gives_gruus,
        strict_path=table.strict_path,
    )


def proxy_settings(config: Config) -> ProxySettings:
    """The rules that the `[proxy]` table asks for.

    Where nobody has an account there is nobody to ask for credentials: foreign domains are refused.
    """
    table = config.proxy
    authenticate = table.authenticate
    if authenticate is None and config.registrar is not None and not config.registrar.authenticate:
        authenticate = False
    return ProxySettings(
        table.record_route,
        authenticate,
        table.fork,
        timer_c=table.timer_c,
        ring=table.ring,
        late=table.late_fork,
        recurse=table.recurse,
        path=table.path,
        assert_identity=table.assert_identity,
        stateless=table.stateless,
        topology_hiding=table.topology_hiding,
        # A front end that asks nobody: the phones answer to the registrar behind it, of the same realm.
        passes_credentials=authenticate is False
        and config.registrar is not None
        and config.registrar.upstream is not None,
    )
