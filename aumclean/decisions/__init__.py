"""What people said of samples, wherever they said it, and the cleaned data that follow from it."""
