"""The three roles of `orderwire serve`; each runs in a process of its own and meets the others in log and store only."""
