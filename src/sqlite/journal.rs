//! The statements on the journal of changes and on those who listen to it.

use rusqlite::{OptionalExtension, params};

use super::{Database, signed, unsigned};

/// A row of the table `change`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// The number of the change.
    pub sequence: u64,
    /// The key; `None` if all items were removed.
    pub key: Option<Vec<u8>>,
    /// The value before.
    pub old: Option<Vec<u8>>,
    /// The value after.
    pub new: Option<Vec<u8>>,
    /// The URL of the document that made the change.
    pub url: String,
}

/// A row of the table `listener`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerRow {
    /// The name of the file that the process holds locked.
    pub name: String,
    /// Whether it wants the values.
    pub wants_values: bool,
    /// Unix time in seconds until which changes are kept for it, if it has gone; else 0.
    pub until: u64,
}

impl Database {
    /// Adds a change to the journal. `total` is the sum of the bytes of all rows up to this one.
    pub fn insert_change(&self, change: &JournalRow, total: u64) -> rusqlite::Result<()> {
        self.prepare("INSERT OR REPLACE INTO change (sequence, key, old, new, url, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![signed(change.sequence), change.key, change.old, change.new, change.url, signed(total)])
            .map(drop)
    }

    /// Calls `f` with the changes in the journal after `sequence`, in order, for as long as it returns true.
    pub fn changes(&self, sequence: u64, mut f: impl FnMut(JournalRow) -> bool) -> rusqlite::Result<()> {
        let mut statement = self.prepare("SELECT sequence, key, old, new, url FROM change WHERE sequence > ?1 ORDER BY sequence")?;
        let mut rows = statement.query([signed(sequence)])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_blob_or_null()?.map(|bytes| self.string(bytes).map(<[u8]>::to_vec)).transpose();
            if !f(JournalRow { sequence: unsigned(row, 0)?, key: text(1)?, old: text(2)?, new: text(3)?, url: row.get(4)? }) {
                break;
            }
        }
        Ok(())
    }

    /// How many changes after `sequence` the journal has.
    pub fn count_changes(&self, sequence: u64) -> rusqlite::Result<u64> {
        self.prepare("SELECT count(*) FROM change WHERE sequence > ?1")?.query_row([signed(sequence)], |row| unsigned(row, 0))
    }

    /// Sequence and total of the oldest change in the journal.
    pub fn oldest_change(&self) -> rusqlite::Result<Option<(u64, u64)>> {
        self.prepare("SELECT sequence, total FROM change ORDER BY sequence LIMIT 1")?
            .query_row([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
            .optional()
    }

    /// The total of the newest change in the journal; 0 if it is empty.
    pub fn newest_total(&self) -> rusqlite::Result<u64> {
        self.prepare("SELECT total FROM change ORDER BY sequence DESC LIMIT 1")?
            .query_row([], |row| unsigned(row, 0))
            .optional()
            .map(Option::unwrap_or_default)
    }

    /// Removes the changes before `sequence` from the journal.
    pub fn delete_changes(&self, sequence: u64) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM change WHERE sequence < ?1")?.execute([signed(sequence)]).map(drop)
    }

    /// The processes that listen.
    pub fn listeners(&self) -> rusqlite::Result<Vec<ListenerRow>> {
        self.prepare("SELECT name, wants, until FROM listener")?
            .query_map([], |row| Ok(ListenerRow { name: row.get(0)?, wants_values: row.get(1)?, until: unsigned(row, 2)? }))?
            .collect()
    }

    /// Adds or replaces a process that listens.
    pub fn put_listener(&self, listener: &ListenerRow) -> rusqlite::Result<()> {
        self.prepare("INSERT OR REPLACE INTO listener (name, wants, until) VALUES (?1, ?2, ?3)")?
            .execute(params![listener.name, listener.wants_values, signed(listener.until)])
            .map(drop)
    }

    /// Removes a process that listens no more.
    pub fn delete_listener(&self, name: &str) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM listener WHERE name = ?1")?.execute([name]).map(drop)
    }
}
