"""Other people's models: torch.nn and Hugging Face, watched with `regard.watch` or given our attention."""
