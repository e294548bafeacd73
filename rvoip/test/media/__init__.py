"""Tests of media processing."""
