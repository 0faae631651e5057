"""Applications in the stacks that people run: each serves the same few paths, as its stack does that."""
