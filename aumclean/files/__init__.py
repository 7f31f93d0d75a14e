"""How things get onto disk and back: whole or not at all, as CSV, Parquet, or JSON that is checked against a type."""
