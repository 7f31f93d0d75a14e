"""The run directory: what is where in it, and what its records say."""
