"""The side of the sidecar that connects to the application."""
