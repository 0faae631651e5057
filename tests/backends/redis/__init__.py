"""What is particular to Redis, on one server and on a cluster."""
