"""Tests of media packets and the machines of a stream."""
