"""Records when sessions were used last, behind the requests."""
