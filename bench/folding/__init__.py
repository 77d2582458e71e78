"""What the processors do with orders that are there."""
