"""The state that instances share: the seam, and its two makes."""

from metro_backend.store.interface import Lock, Store

__all__ = ["Lock", "Store"]
