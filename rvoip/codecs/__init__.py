"""Codecs: int16 arrays in, payloads of RTP out, for one stream or many at once; and which of them to use."""
