"""Identifiers against the real libraries: whom the application takes for signed in, and whom we do."""
