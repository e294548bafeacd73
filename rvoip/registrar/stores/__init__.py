"""Stores of bindings: in memory, and durable in SQLite."""
