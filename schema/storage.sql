-- The database of one origin's bottle (a file), or of one connection's session areas (in memory).
--
-- Version 1. `PRAGMA user_version` holds the version and `PRAGMA application_id` 0x57625374 ("WbSt").
-- Keys and values are WTF-8 in BLOBs: SQL text ends at NUL and cannot hold lone surrogates.

-- One row for each area. A file has one, with id 1; a session database has one for each open area.
CREATE TABLE area (
    id       INTEGER PRIMARY KEY,
    -- The serialised origin. It is checked when a file is opened, because the file's name is only a hash of it.
    origin   TEXT    NOT NULL,
    -- Bytes: two for each UTF-16 unit of keys and values.
    quota    INTEGER NOT NULL,
    usage    INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    -- The ordinal that the next new item gets.
    next     INTEGER NOT NULL,
    -- The number of the newest change.
    sequence INTEGER NOT NULL
);

-- The items. An id is the area's id times 2^40 plus the item's ordinal, so that the items of an area lie
-- together in insertion order; overwriting a value keeps the id.
CREATE TABLE item (
    id    INTEGER PRIMARY KEY,
    area  INTEGER NOT NULL,
    key   BLOB    NOT NULL,
    value BLOB    NOT NULL,
    UNIQUE (area, key)
);

-- The newest changes, in order, for the listeners of other processes. It is written only while such
-- listeners exist, and bounded in rows and bytes. A clear has neither key, old nor new value.
CREATE TABLE change (
    sequence INTEGER PRIMARY KEY,
    key      BLOB,
    old      BLOB,
    new      BLOB,
    url      TEXT    NOT NULL,
    -- Bytes of keys and values in this row and all before it, ever.
    total    INTEGER NOT NULL
);

-- The processes that listen to changes of this bottle. Each holds an exclusive lock on the file of that
-- name in the directory `listeners` for as long as it lives.
CREATE TABLE listener (
    name   TEXT    PRIMARY KEY,
    -- Whether it wants the values.
    wants  INTEGER NOT NULL,
    -- For one that has gone: the Unix time in seconds until which changes are kept for its return; else 0.
    until  INTEGER NOT NULL
) WITHOUT ROWID;
