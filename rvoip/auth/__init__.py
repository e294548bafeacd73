"""auth-core: who sent a request. Digest verification, stateless nonces and the window against replay."""
