"""Tests of the files that are deployed around the server."""
