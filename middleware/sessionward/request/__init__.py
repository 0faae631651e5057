"""1 Reads the few parts of a request that we need."""
