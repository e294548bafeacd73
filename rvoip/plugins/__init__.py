"""Where plugins of users are found: any `rvoip/plugins/*.py` on `sys.path`, without an `__init__.py`."""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
