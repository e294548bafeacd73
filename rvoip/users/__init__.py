"""users-core: accounts, digest credentials, API passwords, roles and API keys, and the store of them."""
