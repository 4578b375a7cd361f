"""The life of a language model in five acts: prepare, train, evaluate, sample, export.

A recipe says what is made of which texts; a workshop is the folder in which it is made. Knows nothing of
terminals, and of the engine that serves the result only where a model's files lie.
"""

from __future__ import annotations
