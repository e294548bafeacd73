"""Tests of rvoip.users."""
