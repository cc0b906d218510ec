CREATE TABLE about (secret TEXT NOT NULL, last_ms INTEGER NOT NULL);

CREATE TABLE queues (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    created_ms  INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    purged_ms   INTEGER,
    attributes  TEXT NOT NULL,
    tags        TEXT NOT NULL
);

CREATE TABLE deleted_queues (name TEXT PRIMARY KEY, deleted_ms INTEGER NOT NULL) WITHOUT ROWID;

-- The small part of a message, which changes often. `id` is also its order in a FIFO queue.
CREATE TABLE messages (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    queue             INTEGER NOT NULL,
    fifo_group        TEXT,
    visible_ms        INTEGER NOT NULL,
    sent_ms           INTEGER NOT NULL,
    received_ms       INTEGER,
    first_received_ms INTEGER,
    receives          INTEGER NOT NULL DEFAULT 0,
    receives_before   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX messages_by_visibility ON messages (queue, visible_ms);
CREATE INDEX messages_by_age ON messages (queue, sent_ms);
CREATE INDEX messages_by_group ON messages (queue, fifo_group) WHERE fifo_group IS NOT NULL;

-- The large part, written once.
CREATE TABLE contents (
    id             INTEGER PRIMARY KEY,
    message_id     TEXT NOT NULL,
    body           TEXT NOT NULL,
    attributes     TEXT,
    trace_header   TEXT,
    group_id       TEXT,
    dedup_id       TEXT,
    source_arn     TEXT
);
CREATE TRIGGER contents_go_with_their_message AFTER DELETE ON messages
BEGIN
    DELETE FROM contents WHERE id = old.id;
END;

-- The groups of FIFO queues with messages, and when each can be received.
CREATE TABLE fifo_groups (
    queue      INTEGER NOT NULL,
    fifo_group TEXT NOT NULL,
    ready_ms   INTEGER NOT NULL,
    head       INTEGER NOT NULL,
    PRIMARY KEY (queue, fifo_group)
) WITHOUT ROWID;
CREATE INDEX fifo_groups_by_readiness ON fifo_groups (queue, ready_ms, head);

-- Messages sent in the last five minutes. `scope` is the group, or empty for the whole queue.
CREATE TABLE duplicates (
    queue      INTEGER NOT NULL,
    scope      TEXT NOT NULL,
    dedup_id   TEXT NOT NULL,
    sent_ms    INTEGER NOT NULL,
    row        INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (queue, scope, dedup_id)
) WITHOUT ROWID;
CREATE INDEX duplicates_by_age ON duplicates (queue, sent_ms);

-- Receives with an attempt id. A repeated receive returns the same messages.
CREATE TABLE attempts (
    queue      INTEGER NOT NULL,
    attempt    TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    receipts   TEXT NOT NULL,
    PRIMARY KEY (queue, attempt)
) WITHOUT ROWID;
CREATE INDEX attempts_by_age ON attempts (queue, started_ms);

CREATE TABLE moves (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    handle         TEXT NOT NULL UNIQUE,
    source_arn     TEXT NOT NULL,
    target_arn     TEXT,
    per_second     INTEGER,
    status         TEXT NOT NULL,
    moved          INTEGER NOT NULL,
    to_move        INTEGER NOT NULL,
    failure        TEXT,
    started_ms     INTEGER NOT NULL
);
CREATE INDEX moves_by_source ON moves (source_arn, id);
