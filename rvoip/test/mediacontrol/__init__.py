"""Tests of media control."""
