"""Counts, times and logs what a sidecar does, and shows it on the admin address."""
