//! Values as the database holds them. Large ones are read and written in place: through columns and parameters
//! of statements SQLite copies them three times more.

use rusqlite::MAIN_DB;
use rusqlite::blob::Blob;

use super::Database;

/// Bytes from which on a value is large. Opening one costs as much as copying this many bytes a few times.
pub(super) const LARGE: u32 = 32 << 10;

/// Bytes that are read at a time: few enough to stay near the processor.
const CHUNK: usize = 16 << 10;

/// Whether a value is large.
pub(super) fn is_large(value: &[u8]) -> bool {
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

/// The bytes of a value.
pub fn read_all(stored: &Stored<'_>) -> rusqlite::Result<Vec<u8>> {
    match stored {
        Stored::Small(value) => Ok(value.to_vec()),
        Stored::Large(blob) => {
            let mut value = vec![0; blob.len()];
            blob.read_at_exact(&mut value, 0)?;
            Ok(value)
        }
    }
}

impl Database {
    /// The place of an item's value.
    pub(super) fn open_value(&self, id: i64, read_only: bool) -> rusqlite::Result<Blob<'_>> {
        self.connection.blob_open(MAIN_DB, "item", "value", id, read_only)
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
    pub(super) fn fill(&self, id: i64, value: &[u8], made: rusqlite::Result<usize>) -> rusqlite::Result<()> {
        made?;
        let filled = self.open_value(id, false).and_then(|mut place| place.write_all_at(value, 0));
        if filled.is_err() {
            self.rollback();
        }
        filled
    }
}
