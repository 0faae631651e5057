"""The session API (CONTRACT.md 6)."""
