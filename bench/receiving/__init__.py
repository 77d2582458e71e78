"""Receivers and the logs that they append to."""
