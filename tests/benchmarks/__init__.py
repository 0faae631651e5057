"""What the doors and backends cost, beside what they are compared with: ``python -m tests.benchmarks``."""
