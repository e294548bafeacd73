"""Attacks on running servers, and what operators do to them: real processes, seen from outside."""
