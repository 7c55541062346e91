//! SQLite: the connection, its transactions, and, in the files beside this one, every SQL statement.
//!
//! The statements are the same for a bottle's file and for a connection's in-memory session database. What
//! they mean for a `Storage` object is [`crate::area`]'s; when transactions begin and end is decided by
//! [`crate::bottle`] for files and by [`crate::session`] for memory.

#![allow(clippy::missing_errors_doc, reason = "every function here fails exactly when SQLite does")]

mod inspect;
mod items;
mod journal;
mod locks;
mod open;
pub mod other_programs;
mod schema;
mod stored;
mod wal_index;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, Row};

use crate::dom_string::is_wtf8;
use crate::lock::Lock;
use crate::wait::Wait;

pub use inspect::{Salvaged, SalvagedItem};
pub use items::AreaRow;
pub use journal::{JournalRow, ListenerRow};
pub use locks::is_busy;
pub use open::{APPLICATION_ID, Foreign, SCHEMA, SCHEMA_VERSION};
pub use stored::{ItemWriter, Stored};
pub use wal_index::Commit;

/// What is said of bytes that are no string any more.
const BROKEN_STRING: &str = "a key or a value in it is no string any more";

/// What is said of a table whose pages lead to each other in a circle, which would give rows without end.
const OUT_OF_ORDER: &str = "rows in it are out of order";

/// The oldest SQLite without a known fault that can corrupt a WAL database.
const MINIMUM_SQLITE: i32 = 3_051_003;

/// How safe an acknowledged write is from a loss of power. Against the death of any process it is safe
/// either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Durability {
    /// The newest writes may be lost with the power; what is left is what was written up to some moment.
    #[default]
    Normal,
    /// Every write waits until the disk has it.
    Full,
}

/// One SQLite database connection with this program's schema.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// Whether it is in memory, where nobody but this program has written to it.
    in_memory: bool,
    /// What is noted when this connection commits to a file.
    committed: Arc<Committed>,
    /// How its statements wait for others.
    waiting: locks::Waiting,
    /// What says that the file is in use, so that nobody moves it away before the connection is closed. Given back
    /// after that, because fields are dropped in their order.
    #[expect(dead_code, reason = "it is held, and nothing asks it anything")]
    lock: Option<Arc<Lock>>,
}

/// What is noted at each commit that writes to a WAL.
#[derive(Debug, Default)]
struct Committed {
    /// How many there were.
    commits: AtomicU64,
    /// The pages that the WAL had after the newest.
    wal_pages: AtomicU32,
}

impl Database {
    fn of(connection: Connection) -> Self {
        let waiting = Arc::new(Mutex::new(Wait::at_most(Duration::ZERO)));
        Database { connection, in_memory: false, committed: Arc::default(), waiting, lock: None }
    }

    /// The pages that the WAL had after this connection's newest commit.
    #[must_use]
    pub fn wal_pages(&self) -> u32 {
        self.committed.wal_pages.load(Ordering::Relaxed)
    }

    /// How often this connection has committed changes. A transaction that ends without any is not counted.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.committed.commits.load(Ordering::Relaxed)
    }

    /// Begins a transaction that reads one moment's state from its first statement on.
    pub fn begin_read(&self) -> rusqlite::Result<()> {
        self.run("BEGIN DEFERRED")
    }

    /// Begins a transaction that holds the write lock at once: one that read first and wrote later would fail
    /// whenever another process had written in between.
    pub fn begin_write(&self) -> rusqlite::Result<()> {
        self.run("BEGIN IMMEDIATE")
    }

    /// Commits the transaction.
    pub fn commit(&self) -> rusqlite::Result<()> {
        self.run("COMMIT")
    }

    /// Rolls the transaction back, if one is open.
    pub fn rollback(&self) {
        if self.in_transaction()
            && let Err(error) = self.run("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
    }

    /// Begins a part of the open transaction that can be undone alone.
    fn begin_part(&self) -> rusqlite::Result<()> {
        self.run("SAVEPOINT part")
    }

    /// Ends the part; what it changed stays.
    fn keep_part(&self) -> rusqlite::Result<()> {
        self.run("RELEASE part")
    }

    /// Ends the part; nothing of what it changed stays.
    fn undo_part(&self) -> rusqlite::Result<()> {
        self.run("ROLLBACK TO part")?;
        self.run("RELEASE part")
    }

    /// Runs a part of the open transaction that leaves no trace if it fails.
    pub fn in_part<T, E: From<rusqlite::Error>>(&self, part: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.begin_part()?;
        let done = part().and_then(|done| Ok(self.keep_part().map(|()| done)?));
        // Some errors make SQLite roll everything back by itself; whoever began the transaction notices.
        if done.is_err() && self.in_transaction() {
            self.undo_part()?;
        }
        done
    }

    /// Whether a transaction is open. After some errors SQLite has rolled it back itself.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// A number that changes when another connection has committed to the file.
    pub fn data_version(&self) -> rusqlite::Result<i64> {
        self.prepare("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Moves what the WAL holds into the database as far as no reader is in the way; never waits.
    pub fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Moves what the WAL holds into the database and empties it, if nobody uses it now.
    pub fn checkpoint_and_truncate(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Looks for damage in everything that a bottle's file has; the first finding, or `None`.
    pub fn find_damage(&mut self, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Option<String>> {
        let wait = self.wait();
        schema::end_when_unwanted(&mut self.connection, &wait, None)?;
        let found = self.first_problem(area, ids);
        schema::never_end(&mut self.connection)?;
        found
    }

    fn first_problem(&self, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Option<String>> {
        let finding: String = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if finding != "ok" {
            return Ok(Some(finding));
        }
        Ok(self.wrong_rows(area, ids)?.into_iter().next())
    }

    /// Bytes that are to be a string. A disk can change a byte where SQLite does not notice, and a message with
    /// that would be none for its reader.
    fn string<'b>(&self, bytes: &'b [u8]) -> rusqlite::Result<&'b [u8]> {
        if self.in_memory || is_wtf8(bytes) {
            return Ok(bytes);
        }
        Err(corrupt(BROKEN_STRING))
    }

    fn owned_string(&self, row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
        self.string(blob(row, column)?).map(<[u8]>::to_vec)
    }

    /// Gives the memory of removed items back. Only for a database in memory, outside a transaction.
    pub fn vacuum(&self) -> rusqlite::Result<()> {
        self.run("VACUUM")
    }

    /// Bytes of pages that hold nothing, and of all pages.
    pub fn free_and_all_bytes(&self) -> rusqlite::Result<(u64, u64)> {
        let number = |sql: &str| self.prepare(sql)?.query_row([], |row| unsigned(row, 0));
        let size = number("PRAGMA page_size")?;
        Ok((number("PRAGMA freelist_count")? * size, number("PRAGMA page_count")? * size))
    }

    fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.prepare(sql)?.execute([]).map(drop)
    }
}

/// Checks that the linked SQLite has none of the known faults that corrupt WAL databases.
#[must_use]
pub fn version_is_sound() -> bool {
    rusqlite::version_number() >= MINIMUM_SQLITE
}

/// The error that a database is damaged, of which SQLite knows nothing.
pub(crate) fn corrupt(finding: impl Into<String>) -> rusqlite::Error {
    let code = rusqlite::ffi::Error { code: rusqlite::ErrorCode::DatabaseCorrupt, extended_code: rusqlite::ffi::SQLITE_CORRUPT };
    rusqlite::Error::SqliteFailure(code, Some(finding.into()))
}

/// Whether the error says that the file is no sound database. A failing disk can look like this for a
/// moment; but where it says itself that it cannot read, as in the error that SQLite calls "corrupt file system", nothing
/// is known of the file.
///
/// This program writes each column with one type, every row that it reads later, and no row that breaks a
/// constraint. Where SQLite finds something else, the file is not as it was written.
#[must_use]
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::{Error, ErrorCode};
    match error {
        Error::SqliteFailure(error, _) => {
            matches!(
                error.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch
            )
        }
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// Whether a statement was ended because nobody waits for it any longer.
#[must_use]
pub fn is_interrupted(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted)
}

/// Whether the error says that no space is left. SQLite has three codes for that: the disk is full, a write
/// failed for the size of the file, and a new file could not be given its first bytes.
#[must_use]
pub fn is_full(error: &rusqlite::Error) -> bool {
    const WRITE_FAILED: i32 = 778;
    const SHM_SIZE_FAILED: i32 = 4874;
    error
        .sqlite_error()
        .is_some_and(|error| error.code == rusqlite::ErrorCode::DiskFull || matches!(error.extended_code, WRITE_FAILED | SHM_SIZE_FAILED))
}

fn blob<'row>(row: &'row Row<'_>, column: usize) -> rusqlite::Result<&'row [u8]> {
    Ok(row.get_ref(column)?.as_blob()?)
}

/// SQLite's integers are signed; all of ours are below 2^53.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number = row.get::<_, i64>(column)?;
    u64::try_from(number).map_err(|_| corrupt(format!("a number in it that counts something is {number}")))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
