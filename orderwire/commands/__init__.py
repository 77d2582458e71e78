"""One file per command; each has `register(app)`. What a command needs is imported when it runs, so
that `serve` stays small."""
