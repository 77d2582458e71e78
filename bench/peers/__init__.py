"""orderwire beside what people would use instead: `make bench ARGS=peers`."""
