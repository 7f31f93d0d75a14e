"""Other questions asked of the same data and the same training: why a data set is learned, or is not."""
