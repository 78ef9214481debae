"""The pages, one file a mechanism: its words, its equation, its code, its picture, its oracle."""
