//! A bottle: one origin's persistent storage, a WAL-mode database file shared with other processes.
//!
//! All connections of this process share one [`Bottle`] and with it one database connection, so that they
//! queue fairly for it and see each other's writes in order. Between processes the file's locks do that.

mod checkpointer;
mod listening;
mod queue;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{ArcMutexGuard, FairMutex, RawFairMutex};

use self::checkpointer::Checkpointer;
use self::queue::Queue;
use crate::area::Area;
use crate::broadcast::{Event, Listeners};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::origin::Origin;
use crate::place::{FileIdentity, Place};
use crate::protocol::Handle;
use crate::sqlite::{AreaRow, Commit, Database};
use crate::wait::Wait;
use crate::watch::Watch;

pub use listening::Subscribed;

/// The id of the one area in a file.
pub const AREA: i64 = 1;

/// One origin's persistent storage as this process has it open.
#[derive(Debug)]
pub struct Bottle {
    file: Arc<FairMutex<BottleFile>>,
    queue: Queue,
    origin: Origin,
    path: PathBuf,
    checkpointer: Arc<Checkpointer>,
    commits: Arc<AtomicU64>,
}

/// The open file. Held locked for the length of one call, or of one group of pipelined calls.
#[derive(Debug)]
pub struct BottleFile {
    database: Database,
    area: Area,
    place: Place,
    identity: FileIdentity,
    /// SQLite's number for the state that `area` and `journal` were read in; none yet if `None`.
    data_version: Option<i64>,
    /// The newest commit that `area` and `journal` are up to; `None` if that is not known.
    seen: Option<Commit>,
    /// The newest commit when a lone call found that the area was not up to it.
    missed: Option<Commit>,
    /// The pages of the WAL that were handed to a checkpoint.
    checkpointed: u32,
    journal: Journal,
    listeners: Listeners,
    /// The sequence up to which `listeners` were told.
    delivered: u64,
    /// Whether the file is another one than the one that `listeners` were told of.
    replaced: bool,
    /// The quota and the number of other processes that listen, as `listeners` were last told.
    told: (u64, u64),
    /// What notices the changes of other processes, while there are listeners.
    watch: Option<Arc<Watch>>,
    /// Whether the transaction that is open may write.
    writing: bool,
    /// The commits of this process.
    commits: Arc<AtomicU64>,
}

/// The exclusive use of a bottle's file within this process.
pub type BottleGuard = ArcMutexGuard<RawFairMutex, BottleFile>;

impl Bottle {
    /// Opens the bottle at `place`, creating it with `quota` if there is none.
    ///
    /// # Errors
    /// Those of [`Place::open`].
    pub fn new(mut place: Place, listeners_dir: PathBuf, quota: u64, wait: &Wait) -> Result<Self> {
        let (database, identity) = place.open(quota, wait)?;
        let row = database.area(AREA).map_err(|error| place.explain(&error, wait))?;
        let (origin, path) = (place.origin().clone(), place.path().to_owned());
        let commits = Arc::<AtomicU64>::default();
        let file = BottleFile {
            database,
            area: Area::shared(AREA, row),
            place,
            identity,
            data_version: None,
            seen: None,
            missed: None,
            checkpointed: 0,
            journal: Journal::new(listeners_dir),
            listeners: Listeners::default(),
            delivered: row.sequence,
            replaced: false,
            told: (row.quota, 0),
            watch: None,
            writing: false,
            commits: Arc::clone(&commits),
        };
        Ok(Bottle { file: Arc::new(FairMutex::new(file)), queue: Queue::default(), origin, path, checkpointer: Arc::default(), commits })
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

    /// Waits until no other connection of this process uses the file. As long as it is used, `wait` also says how
    /// long it waits for other processes.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::Cancelled`].
    pub fn lock(&self, wait: &Wait) -> Result<BottleGuard> {
        let mut file = self.queue.lock(&self.file, wait).ok_or_else(|| wait.error(&self.origin))?;
        file.database.wait_as(wait);
        file.end_abandoned();
        Ok(file)
    }
}

impl BottleFile {
    /// The area, and the database its items are in.
    pub fn area(&mut self) -> (&mut Area, &Database) {
        (&mut self.area, &self.database)
    }

    /// Runs `read`, which looks at one item or reads several with one statement. Without a transaction around it:
    /// that would cost as much again, and one statement sees one moment's state by itself.
    ///
    /// # Errors
    /// As [`BottleFile::begin_read`], and those of `read`.
    pub fn read_items<T>(&mut self, read: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        self.reopen_if_replaced()?;
        let newest = self.database.newest_commit();
        if !self.is_up_to(newest) {
            // Bringing the area up to date for a call that can do without is worth its price once nobody has
            // committed since the last such call either.
            if newest.is_none() || std::mem::replace(&mut self.missed, newest) != newest {
                return read(&mut self.area, &self.database).map_err(|error| self.explain(error));
            }
            self.read_in()?;
        }
        self.area.set_current(true);
        let read = read(&mut self.area, &self.database);
        self.area.set_current(false);
        read.map_err(|error| self.explain(error))
    }

    /// The area's row as of now.
    ///
    /// # Errors
    /// As [`BottleFile::begin_read`].
    pub fn read_row(&mut self) -> Result<AreaRow> {
        self.reopen_if_replaced()?;
        if !self.is_up_to(self.database.newest_commit()) {
            self.read_in()?;
        }
        Ok(*self.area.row())
    }

    /// Whether the area is up to the commit `newest`.
    fn is_up_to(&self, newest: Option<Commit>) -> bool {
        newest.is_some() && self.seen == newest
    }

    /// Brings the area up to date.
    fn read_in(&mut self) -> Result<()> {
        self.begin_read()?;
        self.commit(&[])
    }

    /// Begins a transaction that sees one moment's state, and brings the area up to it.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Unknown`] or [`Error::DataCorruption`].
    pub fn begin_read(&mut self) -> Result<()> {
        self.reopen_if_replaced()?;
        // The transaction may see later commits than this one, and then this one is not the newest any more.
        let newest = self.database.newest_commit();
        let begun = self.database.begin_read().and_then(|()| self.refresh(newest));
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
            if self.place.identity() == Some(self.identity) {
                break;
            }
            self.database.rollback();
            self.reopen_if_replaced()?;
        }
        self.writing = true;
        let newest = self.database.newest_commit();
        let refreshed = self.refresh(newest).and_then(|()| self.deliver_foreign()).and_then(|_| self.enter_again());
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
            let commits = self.database.commits();
            self.database.commit()?;
            Ok(self.database.commits() > commits)
        })();
        let wrote = match committed {
            Ok(wrote) => wrote,
            Err(error) => return Err(self.abort(error)),
        };
        self.area.set_current(false);
        if std::mem::take(&mut self.writing) {
            // Another process can have committed since.
            let newest = self.database.newest_commit();
            self.seen = newest.filter(|newest| self.seen.is_some_and(|before| newest.is_ours(&before, wrote)));
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.listeners.deliver(events);
            self.delivered = self.area.row().sequence;
        }
        self.deliver_quota();
        Ok(())
    }

    /// Makes sure that the disk has everything that was committed.
    ///
    /// # Errors
    /// [`Error::Timeout`] if others were in the way for too long; those of the database.
    pub fn flush(&mut self) -> Result<()> {
        self.reopen_if_replaced()?;
        match self.database.flush() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.database.wait().error(self.place.origin())),
            Err(error) => Err(self.explain(error.into())),
        }
    }

    /// Rolls the transaction back and gives `error` its context.
    pub fn abort(&mut self, error: Error) -> Error {
        self.writing = false;
        self.database.rollback();
        self.area.set_current(false);
        // What was read about listeners may have been changed in the same transaction.
        (self.data_version, self.seen) = (None, None);
        match self.database.area(AREA) {
            Ok(row) => self.area.load(row),
            Err(error) => {
                // The row is read again when the next transaction begins.
                self.area.forget();
                tracing::warn!(%error, path = %self.place.path().display(), "the area's row could not be read after a rollback");
            }
        }
        self.explain(error)
    }

    /// Rolls back what a handler that panicked has left.
    fn end_abandoned(&mut self) {
        if self.in_transaction() {
            self.abort(Error::Cancelled);
        }
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
            Error::Sqlite(error) => self.place.explain(&error, &self.database.wait()),
            other => other,
        }
    }

    /// Notices that the file was unlinked or replaced, and opens the one that is there now.
    ///
    /// # Errors
    /// When there is no sound file and none can be created.
    pub fn reopen_if_replaced(&mut self) -> Result<()> {
        if self.place.identity() == Some(self.identity) {
            return Ok(());
        }
        tracing::warn!(path = %self.place.path().display(), "the storage file was removed or replaced by somebody else while in use; opening the one that is there now");
        let wait = self.database.wait();
        let (database, identity) = self.place.open(self.area.row().quota, &wait)?;
        let row = database.area(AREA).map_err(|error| self.place.explain(&error, &wait))?;
        self.database = database;
        self.identity = identity;
        self.area.load(row);
        (self.data_version, self.seen) = (None, None);
        self.replaced = true;
        self.checkpointed = 0;
        Ok(())
    }

    /// Reads the area's row and the listeners again if another process has written since the last look. The
    /// transaction sees all up to the commit `newest` at least; one that may write sees exactly that.
    fn refresh(&mut self, newest: Option<Commit>) -> rusqlite::Result<()> {
        // A transaction that only reads sees nothing before its first statement.
        if !self.writing || !self.is_up_to(newest) {
            let data_version = Some(self.database.data_version()?);
            if data_version != self.data_version {
                self.area.load(self.database.area(AREA)?);
                self.refresh_journal()?;
                self.data_version = data_version;
            }
            self.seen = newest;
        }
        if self.writing && self.journal.is_stale() {
            self.refresh_journal()?;
        }
        self.area.set_current(true);
        Ok(())
    }

    fn refresh_journal(&mut self) -> rusqlite::Result<()> {
        let own = self.watch.as_deref().map(|watch| watch.presence().name());
        self.journal.refresh(&self.database, own, self.writing)
    }

    fn or_abort(&mut self, begun: rusqlite::Result<()>) -> Result<()> {
        begun.map_err(|error| {
            self.writing = false;
            self.database.rollback();
            self.area.set_current(false);
            (self.data_version, self.seen) = (None, None);
            self.explain(error.into())
        })
    }
}
