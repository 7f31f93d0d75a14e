"""From the margin log to one table, a row per sample: judged, ranked, explained. Needs no torch and no images."""
