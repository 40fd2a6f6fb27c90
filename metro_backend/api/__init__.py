"""The HTTP surface: one class of routes per area, and what they share."""
