"""Session descriptions (SDP, RFC 8866 and RFC 4566): immutable values, read from bytes and written to bytes.

`session` parses and holds a description, `media` its streams, `build` makes offers, `compare` says whether
two descriptions mean the same; `direction`, `formats`, `ice`, `security`, `streams` and `transport` hold the
typed values of attributes.
"""
