"""How alembic runs here: inside the application's own connection, or to write a new version."""

from __future__ import annotations

from alembic import context

from bot.store.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by building it anew
    transaction_per_migration=False,
)
context.run_migrations()
