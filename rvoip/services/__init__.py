"""The roles: one module each, which puts libraries together into a server."""
