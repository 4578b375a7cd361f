"""Tests of the platforms' adapters, each against its platform's fake."""
