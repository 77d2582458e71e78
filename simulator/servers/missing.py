"""The error for a real broker or database that cannot be started here."""


class Missing(Exception):
    """A required program or package is missing; the message names each way that was tried."""

    def __init__(self, what: str, ways: list[str]) -> None:
        super().__init__(f"cannot start {what}; any one of these would do: " + "; ".join(ways))
        self.ways = ways
