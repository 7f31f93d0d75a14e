"""The margin of a sample: what it is, and the Parquet log that is the only bridge from training to the verdict."""

from aumclean.margins.definition import margins

__all__ = ["margins"]
