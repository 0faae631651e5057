"""The page *Your devices* in Chromium."""
