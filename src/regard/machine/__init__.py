"""Where the program meets its machine: processes, freed memory, and a bar for whoever waits."""
