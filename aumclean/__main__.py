"""`aumclean` and `python -m aumclean`: the command line, and what Ctrl-C does while it is still being loaded."""

import sys


def main() -> None:
    """Run the command line and exit, with 130 when interrupted before it could say so itself."""
    try:
        from aumclean.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        sys.stderr.write("aumclean: error: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
