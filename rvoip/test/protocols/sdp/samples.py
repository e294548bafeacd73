"""Descriptions that several tests use, written as a phone writes them."""

from __future__ import annotations

from rvoip.protocols.sdp.session import SessionDescription, parse


def crlf(text: str) -> bytes:
    """The octets of a text of the source, with CRLF for each line end."""
    return text.lstrip("\n").replace("\n", "\r\n").encode()


PHONE = crlf("""
v=0
o=- 3622532974 3622532974 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 10018 RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
""")

BROWSER = crlf("""
v=0
o=- 4962303333179871722 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE a1 v1
a=ice-options:trickle ice2
a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB
a=setup:actpass
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
m=audio 9 UDP/TLS/RTP/SAVPF 96 0 97
c=IN IP4 0.0.0.0
a=mid:a1
a=rtcp:9 IN IP4 0.0.0.0
a=msid:- f83006c5
a=sendrecv
a=rtpmap:96 opus/48000/2
a=fmtp:96 minptime=10;useinbandfec=1
a=rtpmap:97 telephone-event/48000
a=maxptime:120
a=ice-ufrag:ETEn1v9DoTMB9J4r
a=ice-pwd:OtSK0WpNtpUjkY4+86js7ZQl
a=rtcp-mux
a=rtcp-rsize
a=ssrc:1732846380 cname:EocUG1f0fcg/yvY7
a=candidate:3348148302 1 udp 2113937151 192.0.2.1 56500 typ host
a=end-of-candidates
m=video 0 UDP/TLS/RTP/SAVPF 100 101
c=IN IP4 0.0.0.0
a=mid:v1
a=bundle-only
a=recvonly
a=rtpmap:100 VP8/90000
a=rtpmap:101 rtx/90000
a=fmtp:101 apt=100
a=ice-ufrag:BGKkWnG5GmiUpdIV
a=ice-pwd:mqyWsAjvtKwTGnvhPztQ9mIf
a=fingerprint:sha-1 FF:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB
a=setup:active
a=extmap:3 urn:ietf:params:rtp-hdrext:toffset
a=rtcp-fb:100 nack pli
a=rid:1 send
a=simulcast:send 1
a=ssrc-group:FID 1366781083 1366781084
""")

# Every kind of line.
EVERYTHING = crlf("""
v=0
o=jdoe 2890844526 2890842807 IN IP6 2001:db8::1
s=Seminar
i=On session descriptions
u=http://www.example.com/seminars/sdp.pdf
e=j.doe@example.com (Jane Doe)
e=Jane Doe <jane@example.com>
p=+1 617 555-6011
c=IN IP4 233.252.0.1/127/3
b=AS:128
b=CT:1000
t=2873397496 2873404696
r=7d 1h 0 25h
r=604800 3600 0 90000
z=2882844526 -1h 2898848070 0
t=0 0
k=prompt
a=recvonly
a=tool:x
m=audio 49170/2 RTP/AVP 0
i=The talk
c=IN IP4 233.252.0.2/127
c=IN IP4 233.252.0.3/127
b=TIAS:64000
k=clear:x
a=ptime:20
m=image 0 udptl t38
m=message 7654 TCP/MSRP *
""")


def phone(**changes: object) -> SessionDescription:
    """The phone's description with fields of other values."""
    return parse(PHONE).replace(**changes)


def with_section_lines(*lines: str) -> SessionDescription:
    """The phone's description with further lines in its section."""
    return parse(PHONE + "".join(f"{line}\r\n" for line in lines).encode())


def edited(old: str, new: str, data: bytes = PHONE) -> bytes:
    """A description in which one text, which must be there once, is another."""
    if data.count(old.encode()) != 1:
        raise AssertionError(f"{old!r} is not there once")
    return data.replace(old.encode(), new.encode())
