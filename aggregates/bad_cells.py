"""The error for a shop whose stored numbers cannot be read; the API answers 500 for that shop."""


class BadCells(Exception):
    """A cell of the shop holds no whole number, or one that is out of range."""

    def __init__(self, table: str) -> None:
        super().__init__(f"a number in {table} is out of range")
        self.table = table
