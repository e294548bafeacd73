"""Media packets (RTP and RTCP, RFC 3550): values, columns of packets, and the machines of a stream.

`packet` and `rtcp` are single packets, `columns` reads and writes thousands at once as numpy arrays.
`reports`, `schedule` and `sources` keep what RFC 3550 keeps of a stream; `jitter` orders packets and plays
them in time; `telephone_event` and `comfort_noise` are payloads of their own; `latch` says who may send;
`ports` gives out pairs of ports; `protocol` runs one stream on a UDP port of Twisted's.
`choose` gives the batch port, which moves the datagrams of all sockets of a server at once.
`srtp` protects packets, with keys from `sdes` or `dtls`; `ice` answers the checks of peers.
"""
