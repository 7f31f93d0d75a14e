"""From whatever the user has (folder, manifest, Parquet) to whole arrays of images and labels.

read      DATA -> Samples: paths, labels and where the bytes are; no pixel decoded
open      Samples -> Opened: decoded and hashed, what cannot be read named; the one way in for all commands
cache     Samples -> Decoded: every image once, resized, in one memory-mapped array
dataset   Dataset: the arrays that training sees; indicators and noise are changes of its labels
"""
