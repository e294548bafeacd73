"""When our own certificates expire: told before phones and peers find out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from twisted.logger import Logger

from rvoip.services.config import Config

__all__ = ["SOON", "certificate_ends", "warn_of_expiry"]

SOON: Final = timedelta(days=14)
"""How long before a certificate expires it is worth a line: certificates of 90 days are renewed at 30."""

_log = Logger()


def certificate_ends(config: Config) -> dict[str, datetime]:
    """When each of our certificates of SIP and HTTP expires, by file; files that cannot be read are left out.

    Whether a file can be used is for others to say.
    """
    ends = {}
    for path in _files(config):
        try:
            with open(path, "rb") as file:
                ends[path] = x509.load_pem_x509_certificate(file.read()).not_valid_after_utc
        except (OSError, ValueError):
            continue
    return ends


def warn_of_expiry(config: Config, wall_now: float) -> None:
    """Write a line for each of our certificates that has expired or will soon."""
    now = datetime.fromtimestamp(wall_now, UTC)
    for path, end in certificate_ends(config).items():
        if end <= now:
            _log.warn(
                "The certificate {path} has expired on {end}", path=path, end=f"{end:%Y-%m-%d %H:%M} UTC"
            )
        elif end <= now + SOON:
            _log.warn(
                "The certificate {path} expires on {end}, in {days} days",
                path=path,
                end=f"{end:%Y-%m-%d %H:%M} UTC",
                days=(end - now).days,
            )


def _files(config: Config) -> Iterator[str]:
    for path in (
        config.tls.certificate,
        *[one.certificate for one in config.tls.name],
        config.http.certificate,
    ):
        if path:
            yield path
