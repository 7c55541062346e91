//! A lock between processes as a value: a file that is held open and locked.
//!
//! Whoever has a database connection open on a bottle's file holds the bottle's [`Lock`] too, so that the lock
//! cannot be given back before the last of these connections is closed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::wait::Wait;

/// Between two attempts to get a lock.
const PAUSE: Duration = Duration::from_millis(1);

/// A lock file that is open. What is locked is given back when it is dropped.
#[derive(Debug)]
pub struct Lock(File);

/// Why there is no lock.
#[derive(Debug)]
pub enum NoLock {
    /// The wait for it is over.
    Over,
    /// The operating system gives none.
    Failed(Error),
}

impl From<Error> for NoLock {
    fn from(error: Error) -> Self {
        NoLock::Failed(error)
    }
}

impl From<NoLock> for Error {
    fn from(error: NoLock) -> Self {
        match error {
            NoLock::Over => ErrorKind::WouldBlock.into(),
            NoLock::Failed(error) => error,
        }
    }
}

impl std::fmt::Display for NoLock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoLock::Over => formatter.write_str("others hold its lock"),
            NoLock::Failed(error) => error.fmt(formatter),
        }
    }
}

impl Lock {
    /// Opens a lock file, which is created if there is none. It is not locked yet.
    ///
    /// # Errors
    /// Those of the file system; also if it is no regular file of this user with this one name, since that is
    /// something else that somebody has put here.
    pub fn open(path: &Path) -> Result<Self, Error> {
        open_own(path, OpenOptions::new().read(true).write(true).create(true).mode(0o600)).map(Lock)
    }

    /// Takes the directory `dir` for a short turn of work in it, which only one process has at a time.
    ///
    /// # Errors
    /// [`NoLock`].
    pub fn turn(dir: &Path, wait: &Wait) -> Result<Self, NoLock> {
        let turn = Lock(File::open(dir)?);
        obtain(wait, || turn.0.try_lock())?;
        Ok(turn)
    }

    /// Locks the file together with others who do so. If it was locked alone it no longer is.
    ///
    /// # Errors
    /// [`NoLock`]. It is not locked at all then.
    pub fn share(&self, wait: &Wait) -> Result<(), NoLock> {
        obtain(wait, || self.0.try_lock_shared())
    }

    /// Locks the file against everybody else.
    ///
    /// # Errors
    /// [`NoLock`]. It is not locked at all then, also if it was shared.
    pub fn hold_alone(&self, wait: &Wait) -> Result<(), NoLock> {
        // Two who share it and both want it alone would wait for each other.
        self.0.unlock()?;
        obtain(wait, || self.0.try_lock())
    }

    /// Whether `path` still names this file.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let named = rustix::fs::lstat(path).map(|stat| (stat.st_dev, stat.st_ino));
        self.0.metadata().is_ok_and(|own| named == Ok((own.dev(), own.ino())))
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }
}

fn obtain(wait: &Wait, mut attempt: impl FnMut() -> Result<(), TryLockError>) -> Result<(), NoLock> {
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(NoLock::Failed(error)),
            Err(TryLockError::WouldBlock) if wait.pause(PAUSE) => {}
            Err(TryLockError::WouldBlock) => return Err(NoLock::Over),
        }
    }
}

/// Opens a file of a storage directory that SQLite does not open, without waiting and without following a link.
///
/// # Errors
/// Those of the file system; also if it is no regular file of this user with this one name: writing to another
/// would change what somebody else keeps under its other name. It is untouched then.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> Result<File, Error> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.truncate(false).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path)?;
    let metadata = file.metadata()?;
    let wrong = if !metadata.is_file() {
        "it is no regular file"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.nlink() > 1 {
        "the file has another name too"
    } else {
        return Ok(file);
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("{wrong}; it was left as it is, move it away")))
}
