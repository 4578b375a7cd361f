"""The database's schema, version by version. Knows nothing but the store's models."""
