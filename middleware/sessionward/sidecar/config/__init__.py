"""The configuration of a sidecar: options, addresses, and what is made of them."""
