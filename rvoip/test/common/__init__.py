"""Tests of rvoip.common."""
