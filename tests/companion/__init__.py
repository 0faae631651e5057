"""The companion: every rule of way 3, each with a test that fails without it."""
