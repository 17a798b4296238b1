"""`python -m onwrist`: the same as the command."""

from onwrist.command import main

main()
