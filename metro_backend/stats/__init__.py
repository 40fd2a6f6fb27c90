"""Anonymous usage reports, turned into bounded StatsD counters."""
