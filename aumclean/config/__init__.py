"""The options of a scan and of a gate: typed tables, filled from a file, the environment and the command line."""
