"""The matrix: every framework against every check of "sign out my other devices", with its real library and its real login."""
