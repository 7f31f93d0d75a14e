"""A file that is taken away piece by piece while it is written, because all of it would take too much memory."""

from typing import Any


class Passing:
    """What has been written since it was last taken; to the writer it is a file that only grows."""

    closed = False

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.written = 0

    def write(self, piece: Any) -> int:
        """Keep a piece."""
        self.kept.append(bytes(piece))
        self.written += len(piece)
        return len(piece)

    def tell(self) -> int:
        """How much has been written."""
        return self.written

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        """What has been written since the last call."""
        taken, self.kept = b"".join(self.kept), []
        return taken
