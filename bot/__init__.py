"""The application: ties platforms and engine together; owns history, commands, settings and delivery."""
