//! SQLite: opening, pragmas, migrations, and every SQL statement.
//!
//! The statements are the same for a bottle's file and for a connection's in-memory session database. What
//! they mean for a `Storage` object is [`crate::area`]'s; when transactions begin and end is decided by
//! [`crate::bottle`] for files and by [`crate::session`] for memory.

#![allow(clippy::missing_errors_doc, reason = "every function here fails exactly when SQLite does")]

mod inspect;
pub mod other_programs;
mod stored;
mod wal_index;

use std::cell::Cell;
use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use inspect::Salvaged;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, Row, params};

use stored::LARGE;
pub use stored::{ItemWriter, Stored, read_all};
pub use wal_index::Commit;

use crate::cancellation;

/// The schema that this program writes; [`SCHEMA_VERSION`] is its version.
pub const SCHEMA: &str = include_str!("../schema/storage.sql");

/// `PRAGMA user_version` of [`SCHEMA`].
pub const SCHEMA_VERSION: i32 = 1;

/// `PRAGMA application_id`: "WbSt".
pub const APPLICATION_ID: i32 = 0x5762_5374;

/// The oldest SQLite without a known fault that can corrupt a WAL database.
const MINIMUM_SQLITE: i32 = 3_051_003;

/// Pages from which on a commit does not leave the WAL to a checkpoint in the background.
const MAX_WAL_PAGES: u32 = 8000;

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
    /// The pages that the WAL had after this connection's newest commit.
    wal_pages: Arc<AtomicU32>,
}

/// A row of the table `area`: what is known of an area without looking at its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaRow {
    /// The quota in bytes.
    pub quota: u64,
    /// The sum of two bytes for each 16-bit unit of keys and values.
    pub usage: u64,
    /// The number of items.
    pub length: u64,
    /// The ordinal of the next new item.
    pub next: u64,
    /// The number of the newest change.
    pub sequence: u64,
}

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

/// Why a file cannot be used as a bottle though nothing in it is damaged.
#[derive(Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A newer version of this program wrote it.
    NewerSchema(i32),
    /// Another program wrote it.
    Application,
    /// It is another origin's.
    Origin(String),
}

/// Sets for how long a statement waits for another process's lock. It holds for the whole process.
pub fn set_busy_timeout(timeout: Duration) {
    BUSY_TIMEOUT_MS.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// For how long a statement waits for another process's lock.
#[must_use]
pub fn busy_timeout() -> Duration {
    Duration::from_millis(BUSY_TIMEOUT_MS.load(Ordering::Relaxed))
}

static BUSY_TIMEOUT_MS: AtomicU64 = AtomicU64::new(10_000);

/// Waits a short random time for a lock. SQLite's own busy timeout backs off so far that processes starve
/// each other; sleeping for about as long as one transaction takes is fair and wastes little.
fn wait_for_lock(attempts: i32) -> bool {
    thread_local! {
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if attempts == 0 {
        SINCE.set(Some(now));
    }
    let waited = SINCE.get().map_or(Duration::ZERO, |since| now - since);
    if waited >= busy_timeout() || cancellation::is_requested() {
        return false;
    }
    std::thread::sleep(Duration::from_micros(fastrand::u64(20..500)));
    true
}

impl Database {
    fn of(connection: Connection) -> Self {
        Database { connection, wal_pages: Arc::default() }
    }

    /// Opens a new private database in memory.
    ///
    /// # Errors
    /// When SQLite fails, which without a file means that memory ran out.
    pub fn open_memory() -> rusqlite::Result<Self> {
        let database = Database::of(Connection::open_in_memory()?);
        database.harden()?;
        database.connection.execute_batch(SCHEMA)?;
        Ok(database)
    }

    /// Opens a file, which may be empty, and brings it to WAL mode and the current schema.
    ///
    /// `path` must be absolute and in a directory without symbolic links. Several processes may open one
    /// new file at the same time. Closing leaves a WAL that was found as it is, until [`Database::checkpoint_on_close`].
    ///
    /// # Errors
    /// When SQLite fails, damage included. A file that is sound but not ours to use is `Ok(Err(_))`, and
    /// was not touched.
    pub fn open_file(path: &Path, origin: &str, quota: u64, durability: Durability) -> rusqlite::Result<Result<Self, Foreign>> {
        let mut database = Database::open_existing(path)?;
        if let Some(foreign) = database.find_foreign()? {
            return Ok(Err(foreign));
        }
        database.enter_wal_mode()?;
        database.set_durability(durability)?;
        database.count_wal_pages()?;
        database.migrate(origin, quota)?;
        // Another origin's file under this name can only have been put there by hand.
        let owner = database.connection.query_row("SELECT origin FROM area WHERE id = 1", [], |row| row.get::<_, String>(0))?;
        Ok(if owner == origin { Ok(database) } else { Err(Foreign::Origin(owner)) })
    }

    /// Opens a file that another connection of this process has opened with [`Database::open_file`], for
    /// [`Database::checkpoint`] only.
    pub fn open_for_checkpoints(path: &Path, durability: Durability) -> rusqlite::Result<Self> {
        let database = Database::open_existing(path)?;
        database.set_durability(durability)?;
        Ok(database)
    }

    /// Whether closing the last connection to the file moves the WAL into it and deletes the WAL.
    pub fn checkpoint_on_close(&self, on: bool) -> rusqlite::Result<()> {
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on).map(drop)
    }

    fn open_existing(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut database = Database::of(Connection::open_with_flags(path, flags)?);
        // A WAL is data: it must neither be moved into a file that turns out to be damaged or not ours, nor deleted.
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        database.checkpoint_on_close(!std::fs::symlink_metadata(wal).is_ok_and(|wal| wal.len() > 0))?;
        database.harden()?;
        database.connection.busy_handler(Some(wait_for_lock))?;
        Ok(database)
    }

    fn set_durability(&self, durability: Durability) -> rusqlite::Result<()> {
        let synchronous = match durability {
            Durability::Normal => "NORMAL",
            Durability::Full => "FULL",
        };
        self.connection
            .execute_batch(&format!("PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;"))
    }

    /// Notes the length of the WAL at each commit, and bounds it: beyond [`MAX_WAL_PAGES`] whoever commits moves it into
    /// the database.
    fn count_wal_pages(&mut self) -> rusqlite::Result<()> {
        let noted = Arc::clone(&self.wal_pages);
        self.connection.wal_hook(Some(move |wal: &mut Wal, pages: c_int| {
            let pages = pages.unsigned_abs();
            noted.store(pages, Ordering::Relaxed);
            // The commit is done. That another process is at the same work, say, must not make it look failed.
            if pages >= MAX_WAL_PAGES
                && let Err(error) = wal.checkpoint()
            {
                tracing::debug!(%error, "the WAL could not be moved into the database; it keeps what was written");
            }
            Ok(())
        }))
    }

    /// The pages that the WAL had after this connection's newest commit.
    #[must_use]
    pub fn wal_pages(&self) -> u32 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    /// Settings that take rights away from the SQL of a file that somebody else may have written.
    fn harden(&self) -> rusqlite::Result<()> {
        self.connection.set_prepared_statement_cache_capacity(64);
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        self.connection.execute_batch("PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;")
    }

    /// Looks who wrote the file, without writing to it. All is read in one transaction, because another process
    /// may be creating the schema.
    fn find_foreign(&self) -> rusqlite::Result<Option<Foreign>> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i32>(0));
        self.begin_read()?;
        let version = number("PRAGMA user_version")?;
        let application = number("PRAGMA application_id")?;
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        self.commit()?;
        Ok(if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
            Some(Foreign::Application)
        } else if version > SCHEMA_VERSION {
            Some(Foreign::NewerSchema(version))
        } else {
            None
        })
    }

    /// Two processes that switch a new file to WAL mode at the same time get "database is locked" without the
    /// busy handler being asked, so this asks again itself.
    fn enter_wal_mode(&self) -> rusqlite::Result<()> {
        let deadline = Instant::now() + busy_timeout();
        loop {
            let mode = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, String>(0));
            let entered = match mode("PRAGMA journal_mode") {
                Ok(mode) if mode == "wal" => return Ok(()),
                Ok(_) => mode("PRAGMA journal_mode=WAL"),
                Err(error) => Err(error),
            };
            match entered {
                Ok(mode) if mode == "wal" => return Ok(()),
                Err(error) if !is_busy(&error) => return Err(error),
                Err(error) if Instant::now() >= deadline || cancellation::is_requested() => return Err(error),
                _ => std::thread::sleep(Duration::from_micros(fastrand::u64(200..2000))),
            }
        }
    }

    /// Creates the schema in an empty file.
    fn migrate(&self, origin: &str, quota: u64) -> rusqlite::Result<()> {
        let version = |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0));
        if version(&self.connection)? == SCHEMA_VERSION {
            return Ok(());
        }
        self.begin_write()?;
        let created = (|| {
            // Another process may have created it while this one waited for the lock.
            if version(&self.connection)? != SCHEMA_VERSION {
                self.connection.execute_batch(SCHEMA)?;
                self.connection.execute_batch(&format!("PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"))?;
                self.insert_area(1, origin, &AreaRow { quota, usage: 0, length: 0, next: 0, sequence: 0 })?;
            }
            self.commit()
        })();
        if created.is_err() {
            self.rollback();
        }
        created
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

    /// Reads an area's row.
    pub fn area(&self, area: i64) -> rusqlite::Result<AreaRow> {
        self.prepare("SELECT quota, usage, length, next, sequence FROM area WHERE id = ?1")?.query_row([area], |row| {
            Ok(AreaRow {
                quota: unsigned(row, 0)?,
                usage: unsigned(row, 1)?,
                length: unsigned(row, 2)?,
                next: unsigned(row, 3)?,
                sequence: unsigned(row, 4)?,
            })
        })
    }

    /// Adds an area.
    pub fn insert_area(&self, area: i64, origin: &str, row: &AreaRow) -> rusqlite::Result<()> {
        self.prepare("INSERT INTO area (id, origin, quota, usage, length, next, sequence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                area,
                origin,
                signed(row.quota),
                signed(row.usage),
                signed(row.length),
                signed(row.next),
                signed(row.sequence)
            ])
            .map(drop)
    }

    /// Writes an area's row.
    pub fn update_area(&self, area: i64, row: &AreaRow) -> rusqlite::Result<()> {
        self.prepare("UPDATE area SET quota = ?2, usage = ?3, length = ?4, next = ?5, sequence = ?6 WHERE id = ?1")?
            .execute(params![area, signed(row.quota), signed(row.usage), signed(row.length), signed(row.next), signed(row.sequence)])
            .map(drop)
    }

    /// Forgets an area that has no items.
    pub fn delete_area(&self, area: i64) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM area WHERE id = ?1")?.execute([area]).map(drop)
    }

    /// The value of a key.
    pub fn value(&self, area: i64, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        Ok(self.item(area, key, read_all)?.map(|(_, value)| value))
    }

    /// The id of a key's item, and what `f` makes of its value.
    pub fn item<T>(&self, area: i64, key: &[u8], f: impl FnOnce(&Stored<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Option<(i64, T)>> {
        // A large value is not loaded by this. It is read while the statement is active, and so as of the same moment.
        self.prepare("SELECT id, CASE WHEN length(value) < ?3 THEN value END FROM item WHERE area = ?1 AND key = ?2")?
            .query_row(params![area, key, LARGE], |row| {
                let id = row.get(0)?;
                let value = match row.get_ref(1)? {
                    ValueRef::Null => Stored::Large(self.open_value(id, true)?),
                    value => Stored::Small(value.as_blob()?),
                };
                Ok((id, f(&value)?))
            })
            .optional()
    }

    /// The id of a key's item.
    pub fn item_id(&self, area: i64, key: &[u8]) -> rusqlite::Result<Option<i64>> {
        self.prepare("SELECT id FROM item WHERE area = ?1 AND key = ?2")?.query_row(params![area, key], |row| row.get(0)).optional()
    }

    /// Copies all items of one area into another, with ids that are greater by `offset`.
    pub fn copy_items(&self, ids: std::ops::Range<i64>, offset: i64, area: i64) -> rusqlite::Result<()> {
        self.prepare(
            "INSERT INTO item (id, area, key, value) SELECT id + ?3, ?4, key, value FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id",
        )?
        .execute(params![ids.start, ids.end, offset, area])
        .map(drop)
    }

    /// Removes all items whose ids are in `ids`.
    pub fn delete_items(&self, ids: std::ops::Range<i64>) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM item WHERE id >= ?1 AND id < ?2")?.execute(params![ids.start, ids.end]).map(drop)
    }

    /// Removes every item of the database. SQLite does this page by page, not row by row.
    pub fn delete_every_item(&self) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM item")?.execute([]).map(drop)
    }

    /// Whether any area but this one has a row.
    pub fn has_other_area(&self, area: i64) -> rusqlite::Result<bool> {
        self.prepare("SELECT EXISTS (SELECT 1 FROM area WHERE id <> ?1)")?.query_row([area], |row| row.get(0))
    }

    /// The key of an item.
    pub fn key(&self, id: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.prepare("SELECT key FROM item WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
    }

    /// The item that follows `skip` others among those with ids in `ids`, in ascending order.
    pub fn nth_up(&self, ids: std::ops::Range<i64>, skip: i64) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.prepare("SELECT id, key FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1 OFFSET ?3")?
            .query_row(params![ids.start, ids.end, skip], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// The item that follows `skip` others among those with ids in `ids`, in descending order.
    pub fn nth_down(&self, ids: std::ops::Range<i64>, skip: i64) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.prepare("SELECT id, key FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3")?
            .query_row(params![ids.start, ids.end, skip], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// All ids in `ids`, ascending.
    pub fn item_ids(&self, ids: std::ops::Range<i64>, mut f: impl FnMut(i64)) -> rusqlite::Result<()> {
        let mut statement = self.prepare("SELECT id FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
        let mut rows = statement.query(params![ids.start, ids.end])?;
        while let Some(row) = rows.next()? {
            f(row.get(0)?);
        }
        Ok(())
    }

    /// At most `limit` keys of the items with ids in `ids`, in ascending order of ids.
    pub fn keys(&self, ids: std::ops::Range<i64>, limit: u64, mut f: impl FnMut(&[u8])) -> rusqlite::Result<()> {
        let mut statement = self.prepare("SELECT key FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
        let mut rows = statement.query(params![ids.start, ids.end, signed(limit)])?;
        while let Some(row) = rows.next()? {
            f(blob(row, 0)?);
        }
        Ok(())
    }

    /// Calls `f` with the ids, keys and values of at most `limit` items with ids in `ids`, in ascending order of ids,
    /// until it fails.
    pub fn items<E: From<rusqlite::Error>>(
        &self,
        ids: std::ops::Range<i64>,
        limit: u64,
        mut f: impl FnMut(i64, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.prepare("SELECT id, key, value FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
        let mut rows = statement.query(params![ids.start, ids.end, signed(limit)])?;
        while let Some(row) = rows.next()? {
            f(row.get(0)?, blob(row, 1)?, blob(row, 2)?)?;
        }
        Ok(())
    }

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
            if !f(JournalRow { sequence: unsigned(row, 0)?, key: row.get(1)?, old: row.get(2)?, new: row.get(3)?, url: row.get(4)? }) {
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

    /// Moves what the WAL holds into the database as far as no reader is in the way; never waits.
    pub fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// Moves what the WAL holds into the database and empties it, if nobody uses it now.
    pub fn checkpoint_and_truncate(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Looks for damage; the first finding, or `None`.
    pub fn find_damage(&self) -> rusqlite::Result<Option<String>> {
        let finding: String = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok(if finding == "ok" { None } else { Some(finding) })
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

/// Whether another connection's lock was in the way.
#[must_use]
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

/// Whether the error says that the file is no sound database. A failing disk can look like this for a
/// moment.
#[must_use]
pub fn is_damage(error: &rusqlite::Error) -> bool {
    const IO_ERROR_CORRUPT_FS: i32 = 8458;
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
        || error.sqlite_error().is_some_and(|error| error.extended_code == IO_ERROR_CORRUPT_FS)
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

/// SQLite's integers are signed; all of ours are below 2^53, those of a damaged file are cut off.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
