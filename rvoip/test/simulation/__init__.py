"""Phones, proxies and registrars on a simulated network, and what must hold whatever happens there."""

from __future__ import annotations
