"""The edges: platforms in, platforms out. Knows nothing of models, history or prompts."""
