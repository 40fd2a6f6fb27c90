"""Tests against the real programs around the server; each skips where one is not to be had."""
