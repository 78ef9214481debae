"""Seeing attention: pieces merged into words, the matrix in the terminal, figures."""
