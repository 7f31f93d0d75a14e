"""The options of a scan and of a gate, filled from a file, the environment and the command line; and the recipe."""
