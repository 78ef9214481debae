"""Where the program meets its machine: processes, threads, memory, vectors, compiled loops, products; a waiting bar."""
