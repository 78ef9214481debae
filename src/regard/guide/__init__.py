"""The guide: a page for each mechanism, from which the terminal, the documentation and the check are made.

A page is a file in `mechanisms/`; nothing else has to know of it. No page imports PyTorch before its code is run.
"""
