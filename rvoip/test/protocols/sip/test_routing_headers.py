"""Max-Forwards, Max-Breadth, Route and its like, Resource-Priority, Priority."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.routing_headers import ResourcePriority
from rvoip.test.protocols.sip.samples import HeaderTable


class RoutingHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 3261, RFC 3327, RFC 3608, RFC 4412 and RFC 5393."""

    good = (
        ("Max-Forwards", "0", 0),
        ("Max-Forwards", "255", 255),
        ("Max-Breadth", "60", 60),
        (
            "Route",
            "<sip:p1.example.com;lr>,<sip:p2.example.com;lr>",
            [NameAddr("sip:p1.example.com;lr"), NameAddr("sip:p2.example.com;lr")],
        ),
        ("Record-Route", "<sip:p1.example.com;lr>;x=1", [NameAddr("sip:p1.example.com;lr", "", {"x": "1"})]),
        ("Path", "<sip:t@p1.example.com;lr;ob>", [NameAddr("sip:t@p1.example.com;lr;ob")]),
        ("Service-Route", "<sip:hsp.example.com;lr>", [NameAddr("sip:hsp.example.com;lr")]),
        ("Reply-To", "Bob <sip:bob@biloxi.com>", NameAddr("sip:bob@biloxi.com", "Bob")),
        ("Contact", "*", [NameAddr("*")]),
        (
            "Contact",
            '"Mr. Watson" <sip:watson@worcester.example.com>;q=0.7; expires=3600, <mailto:watson@bell>;q=0.1',
            [
                NameAddr("sip:watson@worcester.example.com", "Mr. Watson", {"q": "0.7", "expires": "3600"}),
                NameAddr("mailto:watson@bell", "", {"q": "0.1"}),
            ],
        ),
        (
            "Resource-Priority",
            "DSN.flash, q735.3",
            [ResourcePriority("dsn", "flash"), ResourcePriority("q735", "3")],
        ),
        ("Accept-Resource-Priority", "dsn.flash-override", [ResourcePriority("dsn", "flash-override")]),
        ("Priority", "Emergency", "emergency"),
        ("P-Associated-URI", "<sip:a@b>, <tel:+1>", [NameAddr("sip:a@b"), NameAddr("tel:+1")]),
        ("P-Called-Party-ID", "<sip:a@b>", NameAddr("sip:a@b")),
    )
    bad = (
        ("Max-Forwards", "256"),
        ("Max-Forwards", "-1"),
        ("Max-Forwards", "7 0"),
        ("Max-Forwards", "\uff17\uff10"),
        ("Max-Breadth", ""),
        ("Max-Breadth", "2147483648"),
        ("Route", "<sip:p1.example.com;lr>,"),
        ("Route", "<sip:p1.example.com;lr> . . ."),
        ("Path", "<sip:p1.example.com;lr"),
        ("Service-Route", ",<sip:p1.example.com;lr>"),
        ("Resource-Priority", "dsn"),
        ("Resource-Priority", "dsn."),
        ("Resource-Priority", ".flash"),
        ("Priority", "very urgent"),
        ("Priority", ""),
    )
