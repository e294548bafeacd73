"""The revisions of the user store's tables, oldest first."""
