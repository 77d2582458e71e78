"""A whole `serve`, or the process that answers, at work."""
