"""Sessions in the memory of one process."""

from sessionward.backends.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
