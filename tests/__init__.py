"""Tests mirror the packages. `fakes` are the platforms, on loopback."""
