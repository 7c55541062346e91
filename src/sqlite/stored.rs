//! Items as the database holds them, and writing them. Large values are read and written in place: through columns
//! and parameters of statements SQLite copies them three times more.

use rusqlite::blob::{Blob, ZeroBlob};
use rusqlite::{CachedStatement, ErrorCode, MAIN_DB, params};

use super::{Database, corrupt};

/// Bytes from which on a value is large. Opening one costs as much as copying this many bytes a few times.
pub(super) const LARGE: u32 = 32 << 10;

/// Bytes that are read at a time: few enough to stay near the processor.
const CHUNK: usize = 16 << 10;

/// Whether a value is large.
fn is_large(value: &[u8]) -> bool {
    value.len() >= LARGE as usize
}

/// A value in the database.
pub enum Stored<'d> {
    /// All of it.
    Small(&'d [u8]),
    /// The place of a value that is read from there when it is needed.
    Large(Blob<'d>),
}

impl Stored<'_> {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Stored::Small(value) => value.len(),
            Stored::Large(blob) => blob.len(),
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` with the bytes, piece by piece.
    pub fn for_each_piece(&self, mut f: impl FnMut(&[u8])) -> rusqlite::Result<()> {
        match self {
            Stored::Small(value) => f(value),
            Stored::Large(blob) => {
                let mut chunk = vec![0; CHUNK];
                let mut at = 0;
                while at < blob.len() {
                    let count = CHUNK.min(blob.len() - at);
                    blob.read_at_exact(&mut chunk[..count], at)?;
                    f(&chunk[..count]);
                    at += count;
                }
            }
        }
        Ok(())
    }
}

impl Database {
    /// The bytes of a value.
    pub fn read_all(&self, stored: &Stored<'_>) -> rusqlite::Result<Vec<u8>> {
        // Memory as large as the value would have to be zeroed first, which costs more than to copy each piece again.
        let mut value = Vec::new();
        if !crate::memory::is_left(stored.len()) || value.try_reserve_exact(stored.len()).is_err() {
            return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None));
        }
        stored.for_each_piece(|piece| value.extend_from_slice(piece))?;
        // A small one was looked at when it was found.
        if matches!(stored, Stored::Large(_)) {
            self.string(&value)?;
        }
        Ok(value)
    }

    /// Writes items one after the other.
    #[must_use]
    pub fn item_writer(&self) -> ItemWriter<'_> {
        ItemWriter { database: self, insert: None, update: None, delete: None }
    }

    /// The place of an item's value.
    pub(super) fn open_value(&self, id: i64, read_only: bool) -> rusqlite::Result<Blob<'_>> {
        self.connection.blob_open(MAIN_DB, "item", "value", id, read_only).map_err(|error| match error.sqlite_error_code() {
            // The item was found just now, so it is the type of its value that is wrong.
            Some(ErrorCode::Unknown) => corrupt(error.to_string()),
            _ => error,
        })
    }

    /// Whether the value of an item is `value`. Reads no further than to the first difference.
    pub fn has_value(&self, id: i64, value: &[u8]) -> rusqlite::Result<bool> {
        let blob = self.open_value(id, true)?;
        if blob.len() != value.len() {
            return Ok(false);
        }
        let mut chunk = vec![0; CHUNK];
        for (at, expected) in (0..).step_by(CHUNK).zip(value.chunks(CHUNK)) {
            let piece = &mut chunk[..expected.len()];
            blob.read_at_exact(piece, at)?;
            if piece != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a value whose place was just `made`. If that fails the whole transaction is rolled back, because a value
    /// that is half written must not stay; undoing it alone would need a copy of every page.
    fn fill(&self, id: i64, value: &[u8], made: rusqlite::Result<usize>) -> rusqlite::Result<()> {
        made?;
        let filled = self.open_value(id, false).and_then(|mut place| place.write_all_at(value, 0));
        if filled.is_err() {
            self.rollback();
        }
        filled
    }
}

/// Writes items. A statement is prepared when it is first needed, and kept.
pub struct ItemWriter<'d> {
    database: &'d Database,
    insert: Option<CachedStatement<'d>>,
    update: Option<CachedStatement<'d>>,
    delete: Option<CachedStatement<'d>>,
}

impl ItemWriter<'_> {
    /// Adds an item.
    pub fn insert(&mut self, id: i64, area: i64, key: &[u8], value: &[u8]) -> rusqlite::Result<()> {
        let database = self.database;
        let insert = prepare_once(database, &mut self.insert, "INSERT INTO item (id, area, key, value) VALUES (?1, ?2, ?3, ?4)")?;
        if !is_large(value) {
            return insert.execute(params![id, area, key, value]).map(drop);
        }
        let inserted = insert.execute(params![id, area, key, ZeroBlob(value.len() as u64)]);
        database.fill(id, value, inserted)
    }

    /// Replaces an item's value.
    pub fn update(&mut self, id: i64, value: &[u8]) -> rusqlite::Result<()> {
        let database = self.database;
        let update = prepare_once(database, &mut self.update, "UPDATE item SET value = ?2 WHERE id = ?1")?;
        if !is_large(value) {
            return update.execute(params![id, value]).map(drop);
        }
        // Of a value of another type no place can be had, but it can be replaced.
        let has_length = database.open_value(id, true).is_ok_and(|old| old.len() == value.len());
        let resized = if has_length { Ok(1) } else { update.execute(params![id, ZeroBlob(value.len() as u64)]) };
        database.fill(id, value, resized)
    }

    /// Removes an item.
    pub fn delete(&mut self, id: i64) -> rusqlite::Result<()> {
        prepare_once(self.database, &mut self.delete, "DELETE FROM item WHERE id = ?1")?.execute([id]).map(drop)
    }
}

fn prepare_once<'s, 'd>(
    database: &'d Database,
    statement: &'s mut Option<CachedStatement<'d>>,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'d>> {
    match statement {
        Some(prepared) => Ok(prepared),
        none => Ok(none.insert(database.prepare(sql)?)),
    }
}
