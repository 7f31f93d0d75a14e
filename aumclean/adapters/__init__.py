"""The Recorder in trainers of other libraries: a file for each, which imports that library."""
