BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE conversations (
	id INTEGER NOT NULL, 
	platform VARCHAR NOT NULL, 
	chat VARCHAR NOT NULL, 
	thread VARCHAR NOT NULL, 
	head_id INTEGER, 
	persona VARCHAR, 
	told_dropped BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_conversations PRIMARY KEY (id), 
	CONSTRAINT fk_conversations_head_id_messages FOREIGN KEY(head_id) REFERENCES messages (id) ON DELETE SET NULL, 
	CONSTRAINT uq_conversations_platform UNIQUE (platform, chat, thread)
);
CREATE TABLE inbox (
	id INTEGER NOT NULL, 
	platform VARCHAR NOT NULL, 
	event_id VARCHAR NOT NULL, 
	chat VARCHAR NOT NULL, 
	thread VARCHAR NOT NULL, 
	payload JSON NOT NULL, 
	"key" VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	received_at DATETIME NOT NULL, 
	done_at DATETIME, 
	CONSTRAINT pk_inbox PRIMARY KEY (id), 
	CONSTRAINT uq_inbox_platform UNIQUE (platform, event_id)
);
INSERT INTO "inbox" VALUES(1,'telegram','update:1','7','','{"id": "update:1", "message": {"chat": {"platform": "telegram", "chat": "7", "thread": null}, "message": "1"}, "author": {"id": "1", "name": "Alice", "language": null}, "text": "Hello", "addressed": "direct", "sent_at": "2026-01-01T00:00:00Z", "private": false, "server": null, "reply_to": null, "quoted": null, "attachments": [], "kind": "message_created"}','00ff','pending','2026-01-01 12:00:00.000000',NULL);
CREATE TABLE message_refs (
	conversation_id INTEGER NOT NULL, 
	platform_message VARCHAR NOT NULL, 
	message_id INTEGER NOT NULL, 
	CONSTRAINT pk_message_refs PRIMARY KEY (conversation_id, platform_message), 
	CONSTRAINT fk_message_refs_conversation_id_conversations FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE, 
	CONSTRAINT fk_message_refs_message_id_messages FOREIGN KEY(message_id) REFERENCES messages (id) ON DELETE CASCADE
);
CREATE TABLE messages (
	id INTEGER NOT NULL, 
	conversation_id INTEGER NOT NULL, 
	parent_id INTEGER, 
	person_id INTEGER, 
	role VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	model VARCHAR, 
	finish_reason VARCHAR, 
	prompt_tokens INTEGER, 
	cached_tokens INTEGER, 
	output_tokens INTEGER, 
	CONSTRAINT pk_messages PRIMARY KEY (id), 
	CONSTRAINT fk_messages_conversation_id_conversations FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE, 
	CONSTRAINT fk_messages_parent_id_messages FOREIGN KEY(parent_id) REFERENCES messages (id) ON DELETE SET NULL, 
	CONSTRAINT fk_messages_person_id_people FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE SET NULL
);
CREATE TABLE outbox (
	id INTEGER NOT NULL, 
	inbox_id INTEGER, 
	message_id INTEGER, 
	platform VARCHAR NOT NULL, 
	chat VARCHAR NOT NULL, 
	thread VARCHAR NOT NULL, 
	payload JSON NOT NULL, 
	"key" VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	error VARCHAR, 
	created_at DATETIME NOT NULL, 
	sent_at DATETIME, 
	CONSTRAINT pk_outbox PRIMARY KEY (id), 
	CONSTRAINT fk_outbox_inbox_id_inbox FOREIGN KEY(inbox_id) REFERENCES inbox (id) ON DELETE SET NULL, 
	CONSTRAINT fk_outbox_message_id_messages FOREIGN KEY(message_id) REFERENCES messages (id) ON DELETE SET NULL
);
INSERT INTO "outbox" VALUES(1,NULL,NULL,'telegram','7','','{"action": "send", "part": {"text": "Not sent yet", "file": null}, "target": null, "reply_to": null, "facts": null}','00ff-0','pending',NULL,'2026-01-01 12:00:00.000000',NULL);
CREATE TABLE people (
	id INTEGER NOT NULL, 
	platform VARCHAR NOT NULL, 
	platform_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	language VARCHAR, 
	first_seen DATETIME NOT NULL, 
	CONSTRAINT pk_people PRIMARY KEY (id), 
	CONSTRAINT uq_people_platform UNIQUE (platform, platform_id)
);
CREATE TABLE placeholders (
	inbox_id INTEGER NOT NULL, 
	part INTEGER NOT NULL, 
	platform_message VARCHAR NOT NULL, 
	CONSTRAINT pk_placeholders PRIMARY KEY (inbox_id, part), 
	CONSTRAINT fk_placeholders_inbox_id_inbox FOREIGN KEY(inbox_id) REFERENCES inbox (id) ON DELETE CASCADE
);
CREATE INDEX ix_inbox_pending ON inbox (platform, id) WHERE state = 'pending';
CREATE INDEX ix_messages_conversation_id ON messages (conversation_id);
CREATE INDEX ix_messages_parent_id ON messages (parent_id);
CREATE INDEX ix_messages_person_id ON messages (person_id);
CREATE INDEX ix_message_refs_message_id ON message_refs (message_id);
CREATE INDEX ix_outbox_inbox_id ON outbox (inbox_id);
CREATE INDEX ix_outbox_message_id ON outbox (message_id);
CREATE INDEX ix_outbox_pending ON outbox (platform, chat, id) WHERE state = 'pending';
COMMIT;
