"""The schema of a database file: which version it has, and how it is brought to the newest.

Knows nothing of the tables; the migrations do.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import Connection


@cache
def newest_schema() -> str:
    """The version that the migrations lead to: each file's name begins with its own, and they count up."""
    versions = files("migrations") / "versions"
    return max(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())


async def pragma(raw: Any, name: str) -> object:
    """What SQLite tells of itself."""
    rows = list(await raw.execute_fetchall(f"PRAGMA {name}"))
    return rows[0][0] if rows else None


async def version(raw: Any) -> str | None:
    """The schema's version as it stands in the file; None in a new one."""
    found = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
    if not list(await raw.execute_fetchall(found)):
        return None
    rows = list(await raw.execute_fetchall("SELECT version_num FROM alembic_version"))
    return str(rows[0][0]) if rows else None


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, in the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "migrations:.")  # the installed package of that name
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
