"""Where branches come from, how they are merged, and the snapshot that everybody reads."""
