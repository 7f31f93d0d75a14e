"""Plain training against a test set, to see whether cleaning helped."""
