"""One file per command; each has `register(app)`. Commands import what they need when they run, so
that `serve` stays small."""
