"""Event, Allow-Events, Subscription-State, entity tags."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.subscription_headers import Event, SubscriptionState
from rvoip.test.protocols.sip.samples import HeaderTable


class SubscriptionHeaderTests(HeaderTable, SynchronousTestCase):
    """Values of RFC 6665 and RFC 3903."""

    good = (
        ("Event", "presence", Event("presence")),
        ("Event", "presence.winfo;id=7", Event("presence", "winfo", "7")),
        ("Event", "presence.winfo.winfo", Event("presence", "winfo.winfo")),
        ("Event", "dialog;shared;id=q763", Event("dialog", "", "q763", {"shared": None})),
        (
            "Event",
            'ua-profile;profile-type="device";vendor="a;b"',
            Event("ua-profile", "", None, {"profile-type": '"device"', "vendor": '"a;b"'}),
        ),
        ("Allow-Events", "dialog, presence.winfo", ["dialog", "presence.winfo"]),
        ("Allow-Events", "", []),
        ("Subscription-State", "active;expires=3600", SubscriptionState("active", None, 3600)),
        ("Subscription-State", "Terminated;Reason=NoResource", SubscriptionState("terminated", "noresource")),
        (
            "Subscription-State",
            "terminated;reason=probation;retry-after=60;x=y",
            SubscriptionState("terminated", "probation", None, 60, {"x": "y"}),
        ),
        ("Subscription-State", "waiting", SubscriptionState("waiting")),
        ("SIP-ETag", "dx200xyz", "dx200xyz"),
        ("SIP-If-Match", "kwj449x", "kwj449x"),
        ("Suppress-If-Match", "*", "*"),
    )
    bad = (
        ("Event", ""),
        ("Event", ";id=1"),
        ("Event", "presence..winfo"),
        ("Event", ".winfo"),
        ("Event", "pres ence"),
        ("Allow-Events", "dialog,,presence"),
        ("Allow-Events", "dialog;x"),
        ("Subscription-State", ""),
        ("Subscription-State", "active;expires="),
        ("Subscription-State", "active;expires=1_0"),
        ("Subscription-State", "active;expires=-1"),
        ("Subscription-State", "active;expires=99999999999"),
        ("Subscription-State", "active;retry-after=x"),
        ("SIP-ETag", ""),
        ("SIP-If-Match", '"a"'),
    )

    def test_type(self) -> None:
        """Package and template together are what Allow-Events lists."""
        self.assertEqual(Event("presence", "winfo").type, "presence.winfo")
        self.assertEqual(Event("reg").type, "reg")
