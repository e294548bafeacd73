"""The `rvoip` command: one module a subcommand."""
