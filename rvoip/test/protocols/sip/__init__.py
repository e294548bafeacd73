"""Tests of SIP messages and what they carry."""
