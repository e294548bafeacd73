"""Tests of the transaction machines and the layer that runs them."""
