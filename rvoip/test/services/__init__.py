"""Tests of rvoip.services."""
