"""
Fakes for tests of programs built on rvoip: a reactor and a network in memory, a scripted phone, a
media server without media, certificates.

A feature for users like any other: what stands here keeps its promises from release to release.
"""

from __future__ import annotations
