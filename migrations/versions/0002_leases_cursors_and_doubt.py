"""Leases and attempts of events, cursors of what was received, and sends whose outcome is not known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cursors",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("chat", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "chat", name=op.f("pk_cursors")),
    )
    op.drop_index("ix_inbox_pending", "inbox")
    op.add_column("inbox", sa.Column("author", sa.String(), nullable=True))
    op.add_column("inbox", sa.Column("server", sa.String(), nullable=True))
    op.add_column("inbox", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("inbox", sa.Column("holder", sa.String(), nullable=True))
    op.add_column("inbox", sa.Column("lease_until", sa.DateTime(), nullable=True))
    op.add_column("inbox", sa.Column("reason", sa.String(), nullable=True))
    op.execute(
        "UPDATE inbox SET author = json_extract(payload, '$.author.id'), "
        "server = json_extract(payload, '$.server') WHERE state = 'pending'"
    )
    op.create_index(
        "ix_inbox_pending",
        "inbox",
        ["platform", "chat", "thread", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_inbox_claimed",
        "inbox",
        ["platform", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'claimed'"),
    )

    op.drop_index("ix_outbox_pending", "outbox")
    op.add_column("outbox", sa.Column("doubtful", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["platform", "chat", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'sending')"),
    )


def downgrade() -> None:
    op.execute("UPDATE inbox SET state = 'pending' WHERE state = 'claimed'")
    op.execute("UPDATE inbox SET state = 'done' WHERE state = 'aside'")
    op.execute("UPDATE outbox SET state = 'pending' WHERE state = 'sending'")
    op.drop_index("ix_outbox_waiting", "outbox")
    op.drop_column("outbox", "doubtful")
    op.create_index(
        "ix_outbox_pending",
        "outbox",
        ["platform", "chat", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
    )

    op.drop_index("ix_inbox_claimed", "inbox")
    op.drop_index("ix_inbox_pending", "inbox")
    for column in ("reason", "lease_until", "holder", "attempts", "server", "author"):
        op.drop_column("inbox", column)
    op.create_index(
        "ix_inbox_pending",
        "inbox",
        ["platform", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.drop_table("cursors")
