"""Tests of rvoip.codecs."""
