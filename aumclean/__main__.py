"""`python -m aumclean`, which launchers such as torchrun need."""

from aumclean.cli import main

main()
