"""The session API: who am I, my sessions, revoke one, and the page *Your devices* (CONTRACT.md 6)."""
