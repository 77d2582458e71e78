"""The one error of commands and jobs that will not do what they were asked."""


class Refused(Exception):
    """The command refuses; the message says why and what to do instead."""
