"""Administration: settings by scope, rights, quotas, the audit, and why messages were answered or not.

A conversation's persona becomes a setting of its thread or channel.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "access_rules",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("allow", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "platform", "realm", "what", "subject_kind", "subject", name=op.f("pk_access_rules")
        ),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("ix_audit_realm", ["platform", "realm", "id"], unique=False)

    op.create_table(
        "broadcasts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
    )
    op.create_table(
        "charges",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_charges")),
    )
    with op.batch_alter_table("charges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_charges_at"), ["at"], unique=False)
        batch_op.create_index("ix_charges_person", ["platform", "person"], unique=False)

    op.create_table(
        "decisions",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("chat", sa.String(), nullable=False),
        sa.Column("platform_message", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "chat", "platform_message", name=op.f("pk_decisions")),
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decisions_at"), ["at"], unique=False)

    op.create_table(
        "facts",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_facts")),
    )
    op.create_table(
        "grants",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "person", "realm", "kind", name=op.f("pk_grants")),
    )
    op.create_table(
        "personas",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "realm", "name", name=op.f("pk_personas")),
    )
    op.create_table(
        "quotas",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "platform", "realm", "subject_kind", "subject", "measure", "period", name=op.f("pk_quotas")
        ),
    )
    op.create_table(
        "settings",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("scope_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "scope", "scope_id", "key", name=op.f("pk_settings")),
    )
    op.create_table(
        "usage_totals",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("realm", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("starts", sa.DateTime(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "platform", "person", "realm", "period", "starts", name=op.f("pk_usage_totals")
        ),
    )
    op.execute(
        "INSERT INTO settings (platform, scope, scope_id, key, value) "
        "SELECT platform, CASE thread WHEN '' THEN 'channel' ELSE 'thread' END, "
        "CASE thread WHEN '' THEN chat ELSE chat || '/' || thread END, 'persona', persona "
        "FROM conversations WHERE persona IS NOT NULL"
    )
    op.drop_column("conversations", "persona")
    op.add_column("conversations", sa.Column("server", sa.String(), nullable=True))
    op.create_index(op.f("ix_conversations_server"), "conversations", ["server"])


def downgrade() -> None:
    op.drop_index(op.f("ix_conversations_server"), "conversations")
    op.drop_column("conversations", "server")
    op.add_column("conversations", sa.Column("persona", sa.String(), nullable=True))
    op.execute(
        "UPDATE conversations SET persona = (SELECT value FROM settings WHERE key = 'persona' "
        "AND settings.platform = conversations.platform AND ((scope = 'channel' AND scope_id = chat "
        "AND thread = '') OR (scope = 'thread' AND scope_id = chat || '/' || thread)))"
    )
    op.drop_table("usage_totals")
    op.drop_table("settings")
    op.drop_table("quotas")
    op.drop_table("personas")
    op.drop_table("grants")
    op.drop_table("facts")
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_decisions_at"))

    op.drop_table("decisions")
    with op.batch_alter_table("charges", schema=None) as batch_op:
        batch_op.drop_index("ix_charges_person")
        batch_op.drop_index(batch_op.f("ix_charges_at"))

    op.drop_table("charges")
    op.drop_table("broadcasts")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_realm")

    op.drop_table("audit")
    op.drop_table("access_rules")
