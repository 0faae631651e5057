"""Models in Promela, searched by Spin: of the leases, and of the state in Redis. ``python -m tests.model`` searches the larger sizes."""
