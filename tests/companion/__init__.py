"""The companion: every rule of mode companion, each with a test that fails without it."""
