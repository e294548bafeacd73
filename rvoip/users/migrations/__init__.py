"""The Alembic environment of the user store, run by `rvoip.users.migrate`."""
