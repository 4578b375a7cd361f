"""What Chorus remembers. Knows nothing of engines, prompts or how a platform is reached."""
