"""Runs whose evidence somebody else made: predictions in files, margins of a training of one's own."""
