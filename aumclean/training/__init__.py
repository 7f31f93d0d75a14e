"""Training as a stream: `loop.train` yields one Epoch after another, with the margin of every sample in each."""
