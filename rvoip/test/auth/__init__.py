"""Tests of rvoip.auth."""
