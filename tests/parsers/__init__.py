"""Our reading of the Cookie field against the frameworks' own parsers, and our reading of answers against a cookie jar."""
