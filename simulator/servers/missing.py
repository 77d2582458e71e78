"""What a real broker or database would need on this machine, said in words that can be acted on."""


class Missing(Exception):
    """A program or package that would be needed is not here; the message names each way that was
    tried."""

    def __init__(self, what: str, ways: list[str]) -> None:
        super().__init__(f"cannot start {what}; any one of these would do: " + "; ".join(ways))
        self.ways = ways
