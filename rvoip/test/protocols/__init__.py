"""Tests of the protocol libraries."""
