"""Copies of the builds: kept on disk, filled once, served resumably."""
