//! The journal: how changes of a bottle reach the listeners of other processes.
//!
//! A process that listens enters itself into the bottle's table `listener` and holds a lock on a file of its
//! own. Writers look at that table when another process has written, so a bottle without foreign listeners
//! costs them nothing; else they add each change to the table `change` in the transaction that makes it. A
//! listener that dies loses its lock; changes are kept for its return for a while, and then no more.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::area::Change;
use crate::broadcast::Event;
use crate::error::{Error, Result};
use crate::lock;
use crate::sqlite::{Database, JournalRow, ListenerRow};

/// The most changes kept in a bottle's journal.
const MAX_ROWS: u64 = 20_000;

/// The most bytes of keys, values and URLs kept in a bottle's journal. The newest change is kept whatever its size.
const MAX_BYTES: u64 = 16 << 20;

/// Old changes are removed when there are this many too many, because removing them one by one costs more.
const PRUNE_STEP: u64 = 512;

/// For how long changes are kept for a listener that has gone.
const GRACE: Duration = Duration::from_mins(1);

/// How often a writer looks whether the listeners still live.
const LIVENESS_INTERVAL: Duration = Duration::from_secs(5);

/// This process as a listener: the lock that says it lives, and its name in every bottle's table.
#[derive(Debug)]
pub struct Presence {
    dir: PathBuf,
    name: String,
    lock: Mutex<File>,
}

impl Presence {
    /// Enters this process into the directory `dir`, and tidies up after those that have died there.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the file cannot be created or locked.
    pub fn new(dir: &Path) -> Result<Self> {
        remove_unheld(dir);
        let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let lock = create_locked(&dir.join(&name)).map_err(|error| Error::Unknown {
            message: format!("{} cannot be used ({error}), so changes cannot be listened to. Nothing was changed.", dir.display()),
            sqlite_code: None,
        })?;
        Ok(Presence { dir: dir.to_owned(), name, lock: Mutex::new(lock) })
    }

    /// The name of this process in the tables of listeners.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Enters this process into a bottle's table of listeners. Needs a write transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn enter(&self, database: &Database, wants_values: bool) -> rusqlite::Result<()> {
        let path = self.dir.join(&self.name);
        if !path.exists() {
            // Somebody has removed the file, and with it what shows that this process lives.
            match create_locked(&path) {
                Ok(lock) => *self.lock.lock() = lock,
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "the listener's lock file is gone; some changes will be missed");
                }
            }
        }
        database.put_listener(&ListenerRow { name: self.name.clone(), wants_values, until: 0 })
    }

    /// Notes in a bottle's table that this process listens no more, but may come back. Needs a write transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leave(&self, database: &Database, wanted_values: bool) -> rusqlite::Result<()> {
        database.put_listener(&ListenerRow { name: self.name.clone(), wants_values: wanted_values, until: unix_time() + GRACE.as_secs() })
    }
}

impl Drop for Presence {
    /// The rows that still name this process are found without a lock and run out.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.dir.join(&self.name)) {
            tracing::debug!(%error, "the listener's lock file could not be removed");
        }
    }
}

/// Creates a file and locks it for as long as it is open.
fn create_locked(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.try_lock()?;
    Ok(file)
}

/// Removes the lock files of processes that have died without a row that would lead to them. A new file is
/// left alone: its process may be about to lock it.
fn remove_unheld(dir: &Path) {
    let Ok(files) = fs::read_dir(dir) else { return };
    for path in files.filter_map(|file| Some(file.ok()?.path())) {
        let old = fs::symlink_metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > GRACE)));
        if old && !is_held(&path) {
            remove(&path);
        }
    }
}

/// Whether the process that made a lock file lives.
fn is_held(path: &Path) -> bool {
    lock::open_own(path, OpenOptions::new().read(true)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %path.display(), "the lock file of a listener that has gone could not be removed");
    }
}

/// What a process knows of a bottle's journal.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    /// Whether any process but this one listens, or may come back to.
    wanted: bool,
    /// Whether one of them wants the values.
    values_wanted: bool,
    /// The number of other processes that listen.
    others: u64,
    /// Whether the table has this process as one that listens.
    lists_own: bool,
    /// When it was last looked whether the listeners live; never yet if `None`.
    checked: Option<Instant>,
    /// Until when changes are kept for listeners of this process that have gone, and whether with values.
    kept: Option<(Instant, bool)>,
}

impl Journal {
    /// The journal of a bottle whose listeners have their lock files in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Journal { dir, wanted: false, values_wanted: false, others: 0, lists_own: false, checked: None, kept: None }
    }

    /// Whether changes must be written to the journal.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted || self.kept.is_some()
    }

    /// Whether it is time to look whether the listeners still live, before the next change is written.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_wanted() && self.checked.is_none_or(|checked| checked.elapsed() >= LIVENESS_INTERVAL)
    }

    /// Whether the table has this process as one that listens. Others may have taken it out, or the table away.
    #[must_use]
    pub fn lists_own(&self) -> bool {
        self.lists_own
    }

    /// The number of other processes that listen. One that has died counts until that is noticed.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Keeps changes for a while for a listener of this process that has gone and may come back.
    pub fn keep(&mut self, values: bool) {
        let values = values || self.kept.is_some_and(|(_, values)| values);
        self.kept = Some((Instant::now() + GRACE, values));
    }

    /// Reads who listens. `own` is the name of this process; it needs no journal. In a write transaction those
    /// that have gone for good are removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refresh(&mut self, database: &Database, own: Option<&str>, writing: bool) -> rusqlite::Result<()> {
        // Looking whether they live takes some calls of the system for each, so it is not done with every change.
        let check = writing && self.checked.is_none_or(|checked| checked.elapsed() >= LIVENESS_INTERVAL);
        if check {
            self.checked = Some(Instant::now());
        }
        self.kept = self.kept.filter(|(until, _)| Instant::now() < *until);
        (self.wanted, self.values_wanted, self.lists_own, self.others) = (false, false, false, 0);
        let now = unix_time();
        for mut listener in database.listeners()? {
            if own == Some(listener.name.as_str()) {
                self.lists_own = listener.until == 0;
                continue;
            }
            if listener.until != 0 && listener.until < now {
                if writing {
                    database.delete_listener(&listener.name)?;
                    self.remove_unheld(&listener.name);
                }
                continue;
            }
            if check && listener.until == 0 && !self.lives(&listener.name) {
                listener.until = now + GRACE.as_secs();
                database.put_listener(&listener)?;
            }
            self.wanted = true;
            self.values_wanted |= listener.wants_values;
            self.others += u64::from(listener.until == 0);
        }
        if writing && !self.is_wanted() && !self.lists_own && database.oldest_change()?.is_some() {
            database.delete_changes(u64::MAX)?;
        }
        Ok(())
    }

    /// Enters this process as one that listens. Needs a write transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn enter(&mut self, database: &Database, presence: &Presence, wants_values: bool) -> rusqlite::Result<()> {
        presence.enter(database, wants_values)?;
        self.lists_own = true;
        Ok(())
    }

    /// Writes changes. Must be called in the transaction that makes them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, database: &Database, events: &[Event]) -> rusqlite::Result<()> {
        if !self.is_wanted() || events.is_empty() {
            return Ok(());
        }
        let keeps_values = self.values_wanted || self.kept.is_some_and(|(_, values)| values);
        let mut total = database.newest_total()?;
        for Event { change, url, .. } in events {
            let Change { sequence, key, old_value, new_value } = change;
            let values = |value: &Option<Vec<u8>>| if keeps_values { value.clone() } else { None };
            let row =
                JournalRow { sequence: *sequence, key: key.clone(), old: values(old_value), new: values(new_value), url: url.to_string() };
            total += [&row.key, &row.old, &row.new].into_iter().flatten().map(|bytes| bytes.len() as u64).sum::<u64>();
            total += row.url.len() as u64;
            database.insert_change(&row, total)?;
        }
        let newest = events.last().map_or(0, |event| event.change.sequence);
        while let Some((oldest, oldest_total)) = database.oldest_change()? {
            let too_many = newest.saturating_sub(oldest) >= MAX_ROWS + PRUNE_STEP;
            let too_large = total.saturating_sub(oldest_total) > MAX_BYTES;
            if !(too_many || too_large) || oldest >= newest {
                break;
            }
            database.delete_changes(if too_many { newest - MAX_ROWS } else { oldest + 1 })?;
        }
        Ok(())
    }

    /// Whether the process with this name holds its lock.
    fn lives(&self, name: &str) -> bool {
        is_plain(name) && is_held(&self.dir.join(name))
    }

    fn remove_unheld(&self, name: &str) {
        if is_plain(name) && !self.lives(name) {
            remove(&self.dir.join(name));
        }
    }
}

/// A name comes from the database; one that leads out of the directory is not ours.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.starts_with('.')
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
