"""1 The few parts of a request that are looked at."""
