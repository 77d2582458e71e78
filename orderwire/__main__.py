"""`python -m orderwire`: the command line, for machines where the console script is not on the
PATH."""

from orderwire.cli import main

main()
