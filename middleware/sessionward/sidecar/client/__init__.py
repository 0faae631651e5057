"""The side of the sidecar that clients connect to."""
