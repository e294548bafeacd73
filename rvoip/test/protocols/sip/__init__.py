"""Tests of SIP messages and their values."""
