"""How fast an engine serves conversations: the work, its measurement, and models of known shapes.

`work` and `measure` need nothing but the standard library, so that other servers, each in an environment of
its own, can be measured by the very same code. Knows nothing of chats, people or platforms.
"""
