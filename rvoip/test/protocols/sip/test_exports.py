"""The public names of the header modules, so that none comes or goes unseen."""

from __future__ import annotations

import importlib
import pkgutil

from twisted.trial.unittest import SynchronousTestCase

import rvoip.protocols.sip

NAMES = {
    "accept_headers": "MediaRange Preference parse_media_range parse_preference",
    "authentication_headers": """
        AuthenticationInfo OtherAuthentication SecurityMechanism parse_authenticate
        parse_authentication_info parse_authorization parse_security_mechanism
    """,
    "call_info_headers": "CallInfo WarningValue parse_call_info parse_warning",
    "capability_headers": """
        ContactPredicate FeatureCaps InfoPackage parse_contact_predicate parse_feature_caps
        parse_info_package parse_method parse_option_tag
    """,
    "content_headers": """
        ContentDisposition LARGEST_CONTENT_LENGTH MediaType parse_content_disposition
        parse_content_length parse_lower_token parse_media_type parse_mime_version split_media_type
    """,
    "diversion_headers": "Diversion HistoryInfo Reason parse_diversion parse_history_info parse_reason",
    "headers": "HEADERS HeaderType parse_header",
    "identity_headers": "Identity Privacy RemotePartyID parse_identity parse_privacy parse_remote_party_id",
    "routing_headers": """
        ResourcePriority parse_max_breadth parse_max_forwards parse_priority parse_resource_priority
    """,
    "session_headers": """
        NIL_UUID RAck SessionExpires SessionID UserToUser parse_min_se parse_rack parse_rseq
        parse_session_expires parse_session_id parse_user_to_user
    """,
    "subscription_headers": """
        Event SubscriptionState parse_entity_tag parse_event parse_event_type
        parse_subscription_state
    """,
    "time_headers": """
        Date RetryAfter Timestamp parse_date parse_expires parse_retry_after parse_seconds
        parse_timestamp
    """,
    "transfer_headers": """
        Join ReferSub ReferTo ReferredBy Replaces TargetDialog parse_call_id parse_join
        parse_refer_sub parse_refer_to parse_referred_by parse_replaces parse_target_dialog
    """,
}


class ExportTests(SynchronousTestCase):
    """What ``from rvoip.protocols.sip.X_headers import ...`` offers."""

    def test_modules(self) -> None:
        """Each header module is listed."""
        found = {module.name for module in pkgutil.iter_modules(rvoip.protocols.sip.__path__)}
        self.assertEqual({name for name in found if name.endswith("headers")}, set(NAMES))

    def test_names(self) -> None:
        """Each exports the names listed, and has them."""
        for name, exported in NAMES.items():
            module = importlib.import_module(f"rvoip.protocols.sip.{name}")
            self.assertEqual(sorted(module.__all__), sorted(exported.split()), name)
            for public in module.__all__:
                self.assertTrue(hasattr(module, public), f"{name}.{public}")
