"""The public door: what `import aumclean` gives."""
