"""Tests of rvoip.cli."""
