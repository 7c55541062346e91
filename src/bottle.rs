//! A bottle: one origin's persistent storage, a WAL-mode database file shared with other processes.
//!
//! All connections of this process share one [`Bottle`] and with it one database connection, so that they
//! queue fairly for it and see each other's writes in order. Between processes the file's locks do that.

mod listening;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{ArcMutexGuard, FairMutex, Mutex, RawFairMutex};

use crate::area::Area;
use crate::broadcast::{Event, Listeners};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::origin::Origin;
use crate::protocol::Handle;
use crate::sqlite::{self, Database, Durability};
use crate::watch::Watch;

pub use listening::Subscribed;

/// The id of the one area in a file.
pub const AREA: i64 = 1;

/// Changes after which the WAL is moved into the database in the background.
const CHECKPOINT_AFTER: u64 = 1000;

/// One origin's persistent storage as this process has it open.
#[derive(Debug)]
pub struct Bottle {
    file: Arc<FairMutex<BottleFile>>,
    origin: Origin,
    path: PathBuf,
    /// The shared lock by which processes tell that the file is in use.
    _lock: std::fs::File,
    checkpointer: Arc<Checkpointer>,
    commits: Arc<AtomicU64>,
}

/// The open file. Held locked for the length of one call, or of one group of pipelined calls.
#[derive(Debug)]
pub struct BottleFile {
    database: Database,
    area: Area,
    origin: Origin,
    path: PathBuf,
    durability: Durability,
    identity: FileIdentity,
    /// SQLite's number for the state that `area` and `journal` were read in; none yet if `None`.
    data_version: Option<i64>,
    /// The sequence up to which the WAL was last handed to a checkpoint.
    checkpointed: u64,
    journal: Journal,
    listeners: Listeners,
    /// The sequence up to which `listeners` were told.
    delivered: u64,
    /// Whether the file is another one than the one that `listeners` were told of.
    replaced: bool,
    /// What notices the changes of other processes, while there are listeners.
    watch: Option<Arc<Watch>>,
    /// Whether the transaction that is open may write.
    writing: bool,
    /// The commits of this process.
    commits: Arc<AtomicU64>,
}

/// The exclusive use of a bottle's file within this process.
pub type BottleGuard = ArcMutexGuard<RawFairMutex, BottleFile>;

/// Which file a path names: device and inode.
type FileIdentity = (u64, u64);

/// The database connection that moves the WAL into the database, beside the one that works.
#[derive(Debug, Default)]
struct Checkpointer {
    database: Mutex<Option<Database>>,
    running: AtomicBool,
}

impl Bottle {
    /// Wraps an open database. `lock` is held for as long as the bottle is open.
    ///
    /// # Errors
    /// When the database or the file system fails.
    pub fn new(
        database: Database,
        origin: Origin,
        path: PathBuf,
        listeners_dir: PathBuf,
        durability: Durability,
        lock: std::fs::File,
    ) -> Result<Self> {
        let row = database.area(AREA)?;
        let identity = identity(&path).ok_or_else(|| Error::Unknown {
            message: format!("{} vanished while it was opened; nothing was lost, open the area again", path.display()),
            sqlite_code: None,
        })?;
        let commits = Arc::<AtomicU64>::default();
        let file = BottleFile {
            database,
            area: Area::new(AREA, row),
            origin: origin.clone(),
            path: path.clone(),
            durability,
            identity,
            data_version: None,
            checkpointed: row.sequence,
            journal: Journal::new(listeners_dir),
            listeners: Listeners::default(),
            delivered: row.sequence,
            replaced: false,
            watch: None,
            writing: false,
            commits: Arc::clone(&commits),
        };
        Ok(Bottle { file: Arc::new(FairMutex::new(file)), origin, path, _lock: lock, checkpointer: Arc::default(), commits })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The origin whose bottle this is.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How often this process has written.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Waits until no other connection of this process uses the file.
    pub fn lock(&self) -> BottleGuard {
        self.file.lock_arc()
    }

    /// Moves the WAL into the database on another thread, if much was written since that was last done.
    /// Never makes a writer wait.
    pub fn checkpoint_if_due(&self, file: &mut BottleFile) {
        let sequence = file.area.row().sequence;
        if sequence.saturating_sub(file.checkpointed) < CHECKPOINT_AFTER || self.checkpointer.running.swap(true, Ordering::AcqRel) {
            return;
        }
        file.checkpointed = sequence;
        let checkpointer = Arc::clone(&self.checkpointer);
        let (path, origin, durability) = (self.path.clone(), self.origin.clone(), file.durability);
        let spawned = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            if let Err(error) = checkpointer.run(&path, &origin, durability) {
                tracing::debug!(%error, path = %path.display(), "a background checkpoint failed; the WAL keeps what was written");
            }
            checkpointer.running.store(false, Ordering::Release);
        });
        if let Err(error) = spawned {
            tracing::debug!(%error, "no thread for a background checkpoint; the WAL keeps what was written");
            self.checkpointer.running.store(false, Ordering::Release);
        }
    }
}

impl Checkpointer {
    fn run(&self, path: &Path, origin: &Origin, durability: Durability) -> rusqlite::Result<()> {
        let mut database = self.database.lock();
        if database.is_none() {
            *database = Database::open_file(path, origin.as_str(), 0, durability)?.ok();
        }
        match &*database {
            Some(database) => database.checkpoint(),
            None => Ok(()),
        }
    }
}

impl BottleFile {
    /// The area, and the database its items are in.
    pub fn area(&mut self) -> (&mut Area, &Database) {
        (&mut self.area, &self.database)
    }

    /// Begins a transaction that sees one moment's state, and brings the area up to it.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Unknown`] or [`Error::DataCorruption`].
    pub fn begin_read(&mut self) -> Result<()> {
        self.reopen_if_replaced()?;
        let begun = self.database.begin_read().and_then(|()| self.refresh());
        self.or_abort(begun)
    }

    /// Begins a transaction that may write, and brings the area up to it.
    ///
    /// # Errors
    /// As [`BottleFile::begin_read`].
    pub fn begin_write(&mut self) -> Result<()> {
        loop {
            let begun = self.database.begin_write();
            self.or_abort(begun)?;
            // A file that was unlinked or renamed over still takes writes, which nobody would ever read again.
            // Looking while the write lock is held leaves no moment for that to happen unnoticed.
            if identity(&self.path) == Some(self.identity) {
                break;
            }
            self.database.rollback();
            self.reopen_if_replaced()?;
        }
        self.writing = true;
        let refreshed = self.refresh().and_then(|()| self.deliver_foreign()).and_then(|_| self.enter_again());
        self.area.record(self.journal.is_wanted() || !self.listeners.is_empty());
        self.or_abort(refreshed)
    }

    /// The changes of the last call, as events of whoever made it.
    pub fn take_events(&mut self, url: &Arc<str>, source: (u64, Handle)) -> Vec<Event> {
        Event::from_changes(self.area.take_changes(), url, source)
    }

    /// Ends the transaction; after `Ok` what it wrote survives the death of any process. `events` are its
    /// changes, of which the listeners are told.
    ///
    /// # Errors
    /// As [`BottleFile::begin_read`]; the transaction then changed nothing.
    pub fn commit(&mut self, events: &[Event]) -> Result<()> {
        let committed = (|| {
            self.journal.append(&self.database, events)?;
            self.area.save(&self.database)?;
            self.database.commit().map_err(Error::from)
        })();
        if let Err(error) = committed {
            return Err(self.abort(error));
        }
        if std::mem::take(&mut self.writing) {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.listeners.deliver(events);
            self.delivered = self.area.row().sequence;
        }
        Ok(())
    }

    /// Rolls the transaction back and gives `error` its context.
    pub fn abort(&mut self, error: Error) -> Error {
        self.writing = false;
        self.database.rollback();
        // What was read about listeners may have been changed in the same transaction.
        self.data_version = None;
        match self.database.area(AREA) {
            Ok(row) => self.area.load(row),
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "the area's row could not be read after a rollback"),
        }
        self.explain(error)
    }

    /// Whether a transaction is open. After some errors SQLite has rolled it back itself.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.database.in_transaction()
    }

    /// Gives an error of the database its meaning for this bottle.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        match error {
            Error::Sqlite(error) => explain(&error, &self.origin, &self.path),
            other => other,
        }
    }

    /// Notices that the file was unlinked or replaced, and opens the one that is there now.
    ///
    /// # Errors
    /// When there is no sound file and none can be created.
    pub fn reopen_if_replaced(&mut self) -> Result<()> {
        if identity(&self.path) == Some(self.identity) {
            return Ok(());
        }
        tracing::warn!(path = %self.path.display(), "the storage file was removed or replaced by somebody else while in use; opening the one that is there now");
        let quota = self.area.row().quota;
        crate::shed::create_private(&self.path)?;
        let opened =
            Database::open_file(&self.path, self.origin.as_str(), quota, self.durability).map_err(|error| self.explain(error.into()))?;
        let database = opened.map_err(|foreign| crate::shed::refuse(&foreign, &self.origin, &self.path))?;
        let row = database.area(AREA).map_err(|error| self.explain(error.into()))?;
        self.database = database;
        self.area.load(row);
        self.data_version = None;
        self.replaced = true;
        self.identity = identity(&self.path).unwrap_or_default();
        self.checkpointed = row.sequence;
        Ok(())
    }

    /// Reads the area's row and the listeners again if another process has written since the last look.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        let data_version = Some(self.database.data_version()?);
        let changed = data_version != self.data_version;
        if changed {
            self.area.load(self.database.area(AREA)?);
        }
        if changed || (self.writing && self.journal.is_stale()) {
            let own = self.watch.as_deref().map(|watch| watch.presence().name());
            self.journal.refresh(&self.database, own, self.writing)?;
            self.data_version = data_version;
        }
        Ok(())
    }

    fn or_abort(&mut self, begun: rusqlite::Result<()>) -> Result<()> {
        begun.map_err(|error| {
            self.writing = false;
            self.database.rollback();
            self.data_version = None;
            self.explain(error.into())
        })
    }
}

/// Gives an error of the database its meaning for the bottle of `origin` in the file `path`.
#[must_use]
pub fn explain(error: &rusqlite::Error, origin: &Origin, path: &Path) -> Error {
    let sqlite_code = error.sqlite_error().map(|error| error.extended_code);
    let path_shown = path.display();
    if sqlite::is_busy(error) {
        let milliseconds = u64::try_from(sqlite::busy_timeout().as_millis()).unwrap_or(u64::MAX);
        Error::Timeout { origin: origin.to_string(), milliseconds }
    } else if sqlite::is_full(error) {
        let message = format!("No space is left for {path_shown} ({error}). Nothing was changed; free some space and try again.");
        Error::Unknown { message, sqlite_code }
    } else if sqlite::is_damage(error) {
        let message = format!(
            "{path_shown} is damaged ({error}). It was left as it is; close every handle on it and open it again to have it examined."
        );
        Error::DataCorruption { message, path: path.to_owned(), moved_to: None }
    } else {
        let message = format!("{path_shown} could not be read or written ({error}). The call changed nothing.");
        Error::Unknown { message, sqlite_code }
    }
}

/// Which file the path names now. Looks without opening: closing a database's file would drop the locks that
/// SQLite holds on it.
fn identity(path: &Path) -> Option<FileIdentity> {
    let stat = rustix::fs::lstat(path).ok()?;
    Some((stat.st_dev, stat.st_ino))
}
