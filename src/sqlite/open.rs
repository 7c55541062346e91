//! Opening databases: settings, the switch to WAL mode, and the schema.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::locks::is_busy;
use super::{AreaRow, Database, Durability, corrupt, schema};
use crate::lock::Lock;
use crate::origin::Origin;
use crate::wait::Wait;

/// The schema that this program writes; [`SCHEMA_VERSION`] is its version.
pub const SCHEMA: &str = include_str!("../../schema/storage.sql");

/// `PRAGMA user_version` of [`SCHEMA`].
pub const SCHEMA_VERSION: i32 = 1;

/// `PRAGMA application_id`: "WbSt".
pub const APPLICATION_ID: i32 = 0x5762_5374;

/// Pages from which on a commit does not leave the WAL to a checkpoint in the background.
const MAX_WAL_PAGES: u32 = 8000;

/// Why a file cannot be used as a bottle though nothing in it is damaged.
#[derive(Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A newer version of this program wrote it.
    NewerSchema(i32),
    /// Another program wrote it.
    Application,
    /// Another program has put this into it.
    Schema(String),
    /// It is another origin's.
    Origin(String),
}

impl Database {
    /// Opens a new private database in memory.
    ///
    /// # Errors
    /// When SQLite fails, which without a file means that memory ran out.
    pub fn open_memory() -> rusqlite::Result<Self> {
        let database = Database { in_memory: true, ..Database::of(Connection::open_in_memory()?) };
        database.harden()?;
        database.set_cache_size()?;
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
    pub fn open_file(
        path: &Path,
        origin: &str,
        quota: u64,
        durability: Durability,
        lock: &Arc<Lock>,
        wait: &Wait,
    ) -> rusqlite::Result<Result<Self, Foreign>> {
        let mut database = Database::open_existing(path, lock, wait)?;
        if let Some(foreign) = database.find_foreign()? {
            return Ok(Err(foreign));
        }
        database.enter_wal_mode()?;
        database.set_durability(durability)?;
        database.note_commits()?;
        database.migrate(origin, quota)?;
        // Another origin's file under this name can only have been put there by hand.
        let owner = database.owner()?;
        if owner == origin {
            // What its counters say is looked at now, because every call relies on them.
            database.area(1)?;
            // SQLite writes to no file with a version of its format that it does not know.
            let may_write = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
            if may_write && database.connection.is_readonly(MAIN_DB)? {
                return Err(corrupt("its header has a version of SQLite's format that there is none of"));
            }
            return Ok(Ok(database));
        }
        // What is no origin is none that this program has written.
        if Origin::parse(&owner).is_ok_and(|origin| origin.as_str() == owner) {
            Ok(Err(Foreign::Origin(owner)))
        } else {
            Err(corrupt(format!("the origin in it is {:?}", owner.chars().take(60).collect::<String>())))
        }
    }

    /// Opens a file that another connection of this process has opened with [`Database::open_file`], for
    /// [`Database::checkpoint`] only.
    pub fn open_for_checkpoints(path: &Path, durability: Durability, lock: &Arc<Lock>, wait: &Wait) -> rusqlite::Result<Self> {
        let database = Database::open_existing(path, lock, wait)?;
        database.set_durability(durability)?;
        Ok(database)
    }

    /// Whether closing the last connection to the file moves the WAL into it and deletes the WAL.
    pub fn checkpoint_on_close(&self, on: bool) -> rusqlite::Result<()> {
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on).map(drop)
    }

    fn open_existing(path: &Path, lock: &Arc<Lock>, wait: &Wait) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut database = Database { lock: Some(Arc::clone(lock)), ..Database::of(Connection::open_with_flags(path, flags)?) };
        // A WAL is data: it must neither be moved into a file that turns out to be damaged or not ours, nor deleted.
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        database.checkpoint_on_close(!std::fs::symlink_metadata(wal).is_ok_and(|wal| wal.len() > 0))?;
        database.harden()?;
        database.handle_busy(wait)?;
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

    /// Notes each commit and the length of the WAL after it, and bounds that: beyond [`MAX_WAL_PAGES`] whoever commits moves it into
    /// the database.
    fn note_commits(&mut self) -> rusqlite::Result<()> {
        let noted = Arc::clone(&self.committed);
        self.connection.wal_hook(Some(move |wal: &mut Wal, pages: c_int| {
            let pages = pages.unsigned_abs();
            noted.commits.fetch_add(1, Ordering::Relaxed);
            noted.wal_pages.store(pages, Ordering::Relaxed);
            // The commit is done. That another process is at the same work, say, must not make it look failed.
            if pages >= MAX_WAL_PAGES
                && let Err(error) = wal.checkpoint()
            {
                tracing::debug!(%error, "the WAL could not be moved into the database; it keeps what was written");
            }
            Ok(())
        }))
    }

    /// Settings that take rights away from the SQL of a file that somebody else may have written.
    pub(super) fn harden(&self) -> rusqlite::Result<()> {
        self.connection.set_prepared_statement_cache_capacity(64);
        if !self.in_memory {
            schema::confine(&self.connection)?;
        }
        // None of these makes SQLite read the schema.
        self.connection.execute_batch("PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;")
    }

    fn set_cache_size(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("PRAGMA cache_size=-16384;")
    }

    /// Looks who wrote the file, and lets nothing of it run. The file is given some time for that, but not more than for a lock.
    pub(super) fn find_foreign(&mut self) -> rusqlite::Result<Option<Foreign>> {
        let wait = self.wait();
        schema::end_when_unwanted(&mut self.connection, &wait, Some(wait.limit()))?;
        self.begin_read()?;
        let found = schema::find_foreign(&self.connection);
        self.rollback();
        if let Some(foreign) = found? {
            return Ok(Some(foreign));
        }
        schema::allow_long_rows(&self.connection)?;
        self.set_cache_size()?;
        schema::never_end(&mut self.connection)?;
        Ok(None)
    }

    /// Two processes that switch a new file to WAL mode at the same time get "database is locked" without the
    /// busy handler being asked, so this asks again itself.
    fn enter_wal_mode(&self) -> rusqlite::Result<()> {
        let wait = self.wait();
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
                entered if wait.pause(Duration::from_micros(fastrand::u64(200..2000))) => drop(entered),
                Err(error) => return Err(error),
                Ok(_) => return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
            }
        }
    }

    /// Notes in the header whose database this is, and the version of its schema.
    pub(super) fn mark_as_ours(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch(&format!("PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"))
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
                self.mark_as_ours()?;
                self.insert_area(1, origin, &AreaRow { quota, usage: 0, length: 0, next: 0, sequence: 0 })?;
            }
            self.commit()
        })();
        if created.is_err() {
            self.rollback();
        }
        created
    }
}
