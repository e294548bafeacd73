"""Tests of what the guides show."""
