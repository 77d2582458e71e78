"""The error for a parameter that an answer cannot use; the API answers 400."""


class BadParameter(ValueError):
    """`name` cannot be used, for the reason in the message; `allowed` says what can."""

    def __init__(self, name: str, message: str, allowed: str) -> None:
        super().__init__(message)
        self.name, self.allowed = name, allowed
