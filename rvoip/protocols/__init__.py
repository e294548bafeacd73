"""What is spoken on the wire: SDP, SIP, its transports, transactions and dialogs."""
