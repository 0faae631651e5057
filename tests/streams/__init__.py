"""Streams end with their session: under both doors, behind real servers, and in the sidecar."""
