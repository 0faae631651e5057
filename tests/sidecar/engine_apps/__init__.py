"""Applications behind the proxies, for a server of their own."""
