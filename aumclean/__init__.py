"""Find mislabeled images by the area under the margin, and carry the finding to a cleaned manifest."""

__version__ = "0.1.0"
