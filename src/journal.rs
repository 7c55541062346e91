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

use crate::area::Change;
use crate::broadcast::Event;
use crate::error::{Error, Result};
use crate::sqlite::{Database, JournalRow, ListenerRow};

/// The most changes kept in a bottle's journal.
const MAX_ROWS: u64 = 20_000;

/// The most bytes of keys and values kept in a bottle's journal. The newest change is kept whatever its size.
const MAX_BYTES: u64 = 16 << 20;

/// Old changes are removed when there are this many too many, because removing them one by one costs more.
const PRUNE_STEP: u64 = 512;

/// For how long changes are kept for a listener that has gone, in seconds.
const GRACE: u64 = 60;

/// How often a writer looks whether the listeners still live.
const LIVENESS_INTERVAL: Duration = Duration::from_secs(5);

/// This process as a listener: the lock that says it lives, and its name in every bottle's table.
#[derive(Debug)]
pub struct Presence {
    dir: PathBuf,
    name: String,
    lock: File,
}

impl Presence {
    /// Enters this process into the directory `dir`.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the file cannot be created or locked.
    pub fn new(dir: &Path) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Error::Unknown {
            message: format!("{} cannot be used ({error}), so changes cannot be listened to. Nothing was changed.", dir.display()),
            sqlite_code: None,
        };
        let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(&name)).map_err(|error| failed(&error))?;
        lock.try_lock().map_err(|error| failed(&error))?;
        Ok(Presence { dir: dir.to_owned(), name, lock })
    }
}

impl Drop for Presence {
    /// The rows that still name this process are found without a lock and run out.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.dir.join(&self.name)).and_then(|()| self.lock.unlock()) {
            tracing::debug!(%error, "the listener's lock file could not be removed");
        }
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
    checked: Instant,
}

impl Journal {
    /// The journal of a bottle whose listeners have their lock files in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Journal { dir, wanted: false, values_wanted: false, checked: Instant::now() }
    }

    /// Whether changes must be written to the journal.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether it is time to look whether the listeners still live.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.wanted && self.checked.elapsed() >= LIVENESS_INTERVAL
    }

    /// Reads who listens. `own` is the name of this process; it needs no journal. In a write transaction those
    /// that have gone for good are removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refresh(&mut self, database: &Database, own: Option<&str>, writing: bool) -> rusqlite::Result<()> {
        self.wanted = false;
        self.values_wanted = false;
        self.checked = Instant::now();
        let now = unix_time();
        for mut listener in database.listeners()? {
            if listener.until == 0 && own == Some(listener.name.as_str()) {
                continue;
            }
            let lives = self.lives(&listener.name);
            if listener.until == 0 && !lives && writing {
                listener.until = now + GRACE;
                database.put_listener(&listener)?;
            } else if listener.until != 0 && listener.until < now {
                if writing {
                    database.delete_listener(&listener.name)?;
                    if !lives {
                        self.remove_lock(&listener.name);
                    }
                }
                continue;
            }
            self.wanted = true;
            self.values_wanted |= listener.wants_values;
        }
        Ok(())
    }

    /// Writes changes. Must be called in the transaction that makes them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, database: &Database, events: &[Event]) -> rusqlite::Result<()> {
        if !self.wanted || events.is_empty() {
            return Ok(());
        }
        let mut total = database.newest_total()?;
        for Event { change, url, .. } in events {
            let Change { sequence, key, old_value, new_value } = change;
            let values = |value: &Option<Vec<u8>>| if self.values_wanted { value.clone() } else { None };
            let row =
                JournalRow { sequence: *sequence, key: key.clone(), old: values(old_value), new: values(new_value), url: url.to_string() };
            total += [&row.key, &row.old, &row.new].into_iter().flatten().map(|bytes| bytes.len() as u64).sum::<u64>();
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
        // A name comes from the database; one that leads out of the directory is not ours.
        if name.contains('/') || name.starts_with('.') {
            return false;
        }
        match File::open(self.dir.join(name)) {
            Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    fn remove_lock(&self, name: &str) {
        if name.contains('/') || name.starts_with('.') {
            return;
        }
        if let Err(error) = fs::remove_file(self.dir.join(name))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, name, "the lock file of a listener that has gone could not be removed");
        }
    }
}

impl Presence {
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
        database.put_listener(&ListenerRow { name: self.name.clone(), wants_values, until: 0 })
    }

    /// Notes in a bottle's table that this process listens no more, but may come back. Needs a write transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leave(&self, database: &Database, wanted_values: bool) -> rusqlite::Result<()> {
        database.put_listener(&ListenerRow { name: self.name.clone(), wants_values: wanted_values, until: unix_time() + GRACE })
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
