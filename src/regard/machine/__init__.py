"""Where the program meets its machine: processes, threads, freed memory, and a bar for whoever waits."""
