//! A bottle's place in the shed: its file, the files that SQLite keeps beside it, and the lock that says it is
//! in use.
//!
//! A database, its WAL and its shared memory belong together: SQLite takes whatever WAL lies beside a database
//! for its own, and a database that was put in the place of another would be overwritten with pages of the old
//! one. So each opening notes in the lock file which three files belong together, and what is left of a
//! database that was removed or replaced is moved aside before its successor is opened.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::area;
use crate::bottle::AREA;
use crate::error::{Error, Result};
use crate::lock::{Lock, NoLock};
use crate::origin::Origin;
use crate::sqlite::{self, Database, Durability, Foreign};
use crate::wait::Wait;

/// For how long a damaged file is not moved aside because others hold its lock. Those who are about to move it
/// too let go of it soon.
const QUARANTINE_WAIT: Duration = Duration::from_secs(1);

/// How often an opening is tried again because the file was replaced meanwhile.
const MAX_REPLACED: usize = 100;

/// Which file a path names: device and inode.
pub type FileIdentity = (u64, u64);

/// Where the bottle of an origin is. The bottle is in use for as long as this exists.
#[derive(Debug)]
pub struct Place {
    origin: Origin,
    path: PathBuf,
    damaged_dir: PathBuf,
    durability: Durability,
    /// Which directory the bottle is in.
    directory: FileIdentity,
    /// Locked by everybody who uses the bottle, so that nobody moves its files away meanwhile.
    lock: Arc<Lock>,
    damage_seen: Arc<AtomicBool>,
}

impl Place {
    /// Takes the place of the bottle in the file `path`, which must be in the directory known as `directory`.
    /// `damage_seen` is set when a call meets damage in it, and makes the next opening examine the whole file.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no lock to be had or the directory is another one, [`Error::Timeout`] if
    /// somebody keeps the lock; [`Error::Cancelled`].
    pub fn take(
        path: PathBuf,
        origin: Origin,
        damaged_dir: PathBuf,
        durability: Durability,
        damage_seen: Arc<AtomicBool>,
        directory: FileIdentity,
        wait: &Wait,
    ) -> Result<Self> {
        require_directory(path.parent().unwrap_or(&path), directory)?;
        let lock = lock_shared(&path.with_extension("lock"), &origin, wait)?;
        Ok(Place { origin, path, damaged_dir, durability, directory, lock, damage_seen })
    }

    /// What says that the bottle is in use. Whoever has a connection to its database holds it.
    #[must_use]
    pub fn lock(&self) -> &Arc<Lock> {
        &self.lock
    }

    /// The origin whose bottle is here.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How safe writes are from a loss of power.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Opens the database that is here now, creating it with `quota` if there is none, and says which file that
    /// is. A damaged one is moved aside.
    ///
    /// # Errors
    /// [`Error::DataCorruption`] if the file was moved aside; opening again gives an empty bottle then.
    /// [`Error::Unknown`], [`Error::Timeout`] or [`Error::NotSupported`] if it cannot be used; it is untouched
    /// then.
    pub fn open(&mut self, quota: u64, wait: &Wait) -> Result<(Database, FileIdentity)> {
        require_directory(self.path.parent().unwrap_or(&self.path), self.directory)?;
        let lock_path = self.path.with_extension("lock");
        if !self.lock.is_at(&lock_path) {
            // Somebody has removed or replaced the lock file; what others lock now is the one that is there.
            self.lock = lock_shared(&lock_path, &self.origin, wait)?;
        }
        // It is shared already, unless a quarantine could not share it again.
        self.lock.share(wait).map_err(|error| match error {
            NoLock::Over => wait.error(&self.origin),
            NoLock::Failed(error) => self.failed(&error),
        })?;
        let mut opened = self.try_open(quota, true, wait);
        if matches!(opened, Err(Error::DataCorruption { .. })) {
            // A disk that fails for a moment looks like damage: only what fails twice, freshly opened, is.
            opened = self.try_open(quota, true, wait);
        }
        match opened {
            Err(Error::DataCorruption { message, .. }) => {
                let suspected = self.is_suspected();
                match self.quarantine(quota, &message, wait) {
                    // Others have it open and go on with what can be read in it, and so does this process until the last
                    // of them has closed it.
                    error @ Error::DataCorruption { moved_to: None, .. } if suspected && self.lock.share(wait).is_ok() => {
                        self.try_open(quota, false, wait).map_err(|_| error)
                    }
                    error => Err(error),
                }
            }
            opened => {
                if opened.is_ok() {
                    self.end_suspicion();
                }
                opened
            }
        }
    }

    /// Which file is here now. Looks without opening: closing a database's file would drop the locks that
    /// SQLite holds on it.
    #[must_use]
    pub fn identity(&self) -> Option<FileIdentity> {
        identity(&self.path)
    }

    /// Gives an error of the database its meaning for this bottle.
    #[must_use]
    pub fn explain(&self, error: &rusqlite::Error, wait: &Wait) -> Error {
        let sqlite_code = error.sqlite_error().map(|error| error.extended_code);
        let path_shown = self.path.display();
        if sqlite::is_busy(error) || sqlite::is_interrupted(error) {
            wait.error(&self.origin)
        } else if sqlite::is_full(error) {
            let message = format!("No space is left for {path_shown} ({error}). Nothing was changed; free some space and try again.");
            Error::Unknown { message, sqlite_code }
        } else if sqlite::is_damage(error) {
            self.suspect();
            let message = format!(
                "{path_shown} is damaged ({error}). It was left as it is; close every handle on it and open it again to have it examined."
            );
            self.damaged(message, None)
        } else {
            let message = format!("{path_shown} could not be read or written ({error}). The call changed nothing.");
            Error::Unknown { message, sqlite_code }
        }
    }

    /// Opens the database, without doing anything about damage. If it is suspected it is examined, unless not `examining`.
    fn try_open(&self, quota: u64, examining: bool, wait: &Wait) -> Result<(Database, FileIdentity)> {
        for _ in 0..MAX_REPLACED {
            self.part_from_former(wait)?;
            create_private(&self.path)?;
            let identity = self.identity();
            // The file may have been put here just now; from here on such a change is seen in its identity.
            self.part_from_former(wait)?;
            self.require_content()?;
            let mut database = match Database::open_file(&self.path, self.origin.as_str(), quota, self.durability, &self.lock, wait) {
                Ok(Ok(database)) => database,
                Ok(Err(foreign)) => return Err(self.refuse(&foreign)),
                Err(rusqlite::Error::QueryReturnedNoRows) => {
                    return Err(self.damaged(format!("{} has lost the row of its area.", self.path.display()), None));
                }
                Err(error) if sqlite::is_damage(&error) => {
                    return Err(self.damaged(format!("{} is damaged ({error}).", self.path.display()), None));
                }
                Err(error) => return Err(self.explain(&error, wait)),
            };
            if let Some(identity) = identity
                && self.identity() == Some(identity)
            {
                if examining {
                    self.examine(&mut database, wait)?;
                }
                database.checkpoint_on_close(true).map_err(|error| self.explain(&error, wait))?;
                self.note_companions(wait)?;
                return Ok((database, identity));
            }
        }
        Err(self.failed(&"it was replaced again and again while it was opened"))
    }

    /// Refuses an empty file that has a WAL: SQLite would take it for a new database and delete the WAL.
    ///
    /// # Errors
    /// [`Error::DataCorruption`] then.
    pub fn require_content(&self) -> Result<()> {
        if length(&self.path) > 0 || length(&with_suffix(&self.path, "-wal")) == 0 {
            return Ok(());
        }
        Err(self.damaged(format!("{} is empty, but its WAL is not.", self.path.display()), None))
    }

    /// Looks at the whole database if a call has met damage in it. That takes too long to do it each time.
    fn examine(&self, database: &mut Database, wait: &Wait) -> Result<()> {
        if !self.is_suspected() {
            return Ok(());
        }
        match database.find_damage(AREA, area::ids(AREA)) {
            Ok(None) => Ok(()),
            Ok(Some(finding)) => Err(self.damaged(format!("{} is damaged ({finding}).", self.path.display()), None)),
            Err(error) => Err(self.explain(&error, wait)),
        }
    }

    /// Whether a call of this process or of one before has met damage in the database since it was last examined.
    fn is_suspected(&self) -> bool {
        self.damage_seen.load(Ordering::Relaxed) || identity(&suspicion(&self.path)).is_some()
    }

    /// Notes that a call has met damage, also for the processes that come after this one.
    fn suspect(&self) {
        self.damage_seen.store(true, Ordering::Relaxed);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(suspicion(&self.path)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                tracing::debug!(%error, origin = %self.origin, "that the storage file is to be examined could not be noted");
            }
            _ => {}
        }
    }

    /// Notes that the database that is here now is sound.
    fn end_suspicion(&self) {
        self.damage_seen.store(false, Ordering::Relaxed);
        forget_suspicion(&self.path);
    }

    /// Moves the WAL of a database that was here before aside, and removes its shared memory, which says
    /// nothing without it.
    fn part_from_former(&self, wait: &Wait) -> Result<()> {
        let _turn = self.turn(wait)?;
        let noted = self.noted().map_err(|error| self.failed(&error))?;
        let noted: Vec<&str> = noted.split_whitespace().collect();
        let [database, wal, shm] = self.companions();
        let replaced = noted.first().is_some_and(|noted| *noted != database);
        let is_former = |position: usize, now: &str| now != ABSENT && (database == ABSENT || replaced && noted.get(position) == Some(&now));
        if is_former(1, &wal) {
            let from = with_suffix(&self.path, "-wal");
            let target = with_suffix(&self.free_target().map_err(|error| self.failed(&error))?, "-wal");
            fs::rename(&from, &target).map_err(|error| self.failed(&error))?;
            tracing::warn!(origin = %self.origin, to = %target.display(), "a storage file was removed or replaced by somebody else; its WAL was moved aside");
        }
        if is_former(2, &shm) {
            fs::remove_file(with_suffix(&self.path, "-shm")).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Notes that the files that are here now belong together.
    fn note_companions(&self, wait: &Wait) -> Result<()> {
        let _turn = self.turn(wait)?;
        let note = self.companions().join(" ");
        let written = self.noted().and_then(|noted| {
            if noted == note {
                return Ok(());
            }
            self.lock.file().set_len(0)?;
            self.lock.file().write_all_at(note.as_bytes(), 0)
        });
        // Without space for the note a later replacement is not noticed, which is no reason to refuse this use.
        if let Err(error) = written {
            tracing::debug!(%error, origin = %self.origin, "which files belong together could not be noted");
        }
        Ok(())
    }

    fn noted(&self) -> std::io::Result<String> {
        let mut bytes = [0; 256];
        let count = self.lock.file().read_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    /// What tells the database, its WAL and its shared memory from others of the same names.
    fn companions(&self) -> [String; 3] {
        ["", "-wal", "-shm"].map(|suffix| match fs::symlink_metadata(with_suffix(&self.path, suffix)) {
            Ok(metadata) => {
                // Numbers of inodes are used again, times of creation are not.
                let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).map_or(0, |born| born.as_nanos());
                format!("{}:{}:{born}", metadata.dev(), metadata.ino())
            }
            Err(_) => ABSENT.to_owned(),
        })
    }

    /// Keeps other processes from looking at the companions of any bottle of this shed while they are changed.
    fn turn(&self, wait: &Wait) -> Result<Lock> {
        let dir = self.path.parent().unwrap_or(&self.path);
        Lock::turn(dir, wait).map_err(|error| match error {
            NoLock::Over => wait.error(&self.origin),
            NoLock::Failed(error) => self.failed(&error),
        })
    }

    /// Moves a damaged file aside together with its WAL, and says so.
    fn quarantine(&self, quota: u64, found: &str, wait: &Wait) -> Error {
        let call = wait.clone();
        let alone = Wait::new(QUARANTINE_WAIT.min(wait.limit()), move || call.is_wanted());
        let mut unreadable = None;
        let moved = self.lock.hold_alone(&alone).map_err(std::io::Error::from).and_then(|()| {
            unreadable = self.require_readable().err();
            if unreadable.is_some() { Ok(None) } else { self.move_aside(quota, &alone) }
        });
        // From here on others may open the bottle too, and none of them may move it away while this process uses it.
        let shared = self.lock.share(&Wait::new(QUARANTINE_WAIT, || true));
        if let Err(error) = shared {
            tracing::warn!(%error, origin = %self.origin, "the lock of a bottle could not be shared again; the next opening tries it again");
        }
        if let Some(error) = unreadable {
            let message = format!(
                "The disk cannot read {} ({error}). Nothing was changed, and nothing was moved aside; try again, and look after the disk.",
                self.path.display()
            );
            return Error::Unknown { message, sqlite_code: None };
        }
        match moved {
            Ok(Some(target)) => {
                tracing::error!(origin = %self.origin, from = %self.path.display(), to = %target.display(), "a damaged storage file was moved aside");
                let message = format!(
                    "{found} It was moved to {}, complete; nothing was deleted. Opening {} again starts with empty storage.",
                    target.display(),
                    self.origin
                );
                self.damaged(message, Some(target))
            }
            Ok(None) => self.damaged(format!("{found} Another process has replaced it meanwhile; open {} again.", self.origin), None),
            Err(_) if !wait.is_wanted() => Error::Cancelled,
            Err(why) => self.damaged(
                format!(
                    "{found} It could not be moved aside ({why}), because other processes have it open or the directory cannot be written; nothing was changed."
                ),
                None,
            ),
        }
    }

    /// Reads the database and its WAL from the disk. SQLite takes what a disk cannot read for damage in some places. Must
    /// be called with the lock held alone: then no connection of this process is open either, whose locks the reading
    /// would drop.
    fn require_readable(&self) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        for suffix in ["", "-wal"] {
            let path = with_suffix(&self.path, suffix);
            if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            let file = fs::File::open(path)?;
            let mut at = 0;
            while let count @ 1.. = file.read_at(&mut buffer, at)? {
                at += count as u64;
            }
        }
        Ok(())
    }

    /// Moves the file to the damaged ones and says where it is. `None` if another process has done that before
    /// this one got the lock.
    fn move_aside(&self, quota: u64, wait: &Wait) -> std::io::Result<Option<PathBuf>> {
        if self.identity().is_none() || !matches!(self.try_open(quota, true, wait), Err(Error::DataCorruption { .. })) {
            return Ok(None);
        }
        let target = self.free_target()?;
        // The database goes first: without its WAL it would be an older state, that of the last checkpoint, which
        // must not be found here if this process is killed in between. A WAL without a database is nobody's.
        fs::rename(&self.path, &target)?;
        for suffix in ["-wal", "-shm"] {
            match fs::rename(with_suffix(&self.path, suffix), with_suffix(&target, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    fs::rename(&target, &self.path)?;
                    return Err(error);
                }
                _ => {}
            }
        }
        self.end_suspicion();
        Ok(Some(target))
    }

    /// A name among the damaged files that is free for a database and for its WAL.
    fn free_target(&self) -> std::io::Result<PathBuf> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        (0..1000)
            .map(|n| self.damaged_dir.join(format!("{}-{seconds}-{n}.sqlite", self.origin.file_stem())))
            .find(|target| ["", "-wal"].iter().all(|suffix| identity(&with_suffix(target, suffix)).is_none()))
            .ok_or_else(|| std::io::Error::other("a thousand files were moved aside within this second"))
    }

    /// Why a sound file is not used.
    #[must_use]
    pub fn refuse(&self, foreign: &Foreign) -> Error {
        let (origin, path) = (&self.origin, self.path.display());
        // Who looks at a file does not know yet whose it is.
        let known = |words: &str| if origin.is_opaque() { String::new() } else { format!(" {words} {origin}") };
        Error::NotSupported(match foreign {
            Foreign::NewerSchema(version) => format!(
                "{path} was written by a newer webstorage-server (schema {version}, this one knows {}). It was not touched; use the newer program{}.",
                sqlite::SCHEMA_VERSION,
                known("for")
            ),
            Foreign::Schema(what) => format!(
                "{path} has been changed by another program: it has {what}. It was not touched, and nothing was read from it; take that out of it again, or move it away{}.",
                known("to use")
            ),
            Foreign::Application => format!("{path} is another program's database. It was not touched; move it away{}.", known("to use")),
            Foreign::Origin(owner) => {
                format!("{path} holds the storage of {owner}, not of {origin}. It was not touched; move it away to use {origin}.")
            }
        })
    }

    fn damaged(&self, message: String, moved_to: Option<PathBuf>) -> Error {
        Error::DataCorruption { message, path: self.path.clone(), moved_to }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        missing_directory(&self.path).unwrap_or_else(|| Error::Unknown {
            message: format!("{} cannot be used ({error}). The call changed nothing.", self.path.display()),
            sqlite_code: None,
        })
    }
}

/// The error that a file's directory is not there. It is not created again, because it can also be that a volume is
/// not mounted any more.
fn missing_directory(path: &Path) -> Option<Error> {
    let directory = path.parent().filter(|directory| !directory.exists())?;
    let message = format!(
        "The directory {} is gone, and with it every item that was in it. The call changed nothing. Put the directory back, or start the server again to have a new one created.",
        directory.display()
    );
    Some(Error::Unknown { message, sqlite_code: None })
}

/// In the place of the identity of a file that is not there.
const ABSENT: &str = "-";

/// Which file a path names now, without opening it.
#[must_use]
pub fn identity(path: &Path) -> Option<FileIdentity> {
    let stat = rustix::fs::lstat(path).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

fn length(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |metadata| metadata.len())
}

/// Refuses to use a directory that was put in the place of the one that was examined when it was first used.
///
/// # Errors
/// [`Error::Unknown`] then.
pub fn require_directory(directory: &Path, known: FileIdentity) -> Result<()> {
    match identity(directory) {
        Some(now) if now != known => Err(Error::Unknown {
            message: format!(
                "The directory {} is another one than when this server began to use it. The call changed nothing. Put the former one back, or start the server again to use the one that is there now.",
                directory.display()
            ),
            sqlite_code: None,
        }),
        _ => Ok(()),
    }
}

/// Takes the lock that every user of a bottle holds, so that nobody moves its file away meanwhile.
fn lock_shared(path: &Path, origin: &Origin, wait: &Wait) -> Result<Arc<Lock>> {
    let failed = |error: &std::io::Error| {
        missing_directory(path).unwrap_or_else(|| Error::Unknown {
            message: format!("{} could not be locked ({error}). Nothing was changed.", path.display()),
            sqlite_code: None,
        })
    };
    for _ in 0..MAX_REPLACED {
        let lock = Lock::open(path).map_err(|error| failed(&error))?;
        match lock.share(wait) {
            Ok(()) if lock.is_at(path) => return Ok(Arc::new(lock)),
            // It was removed or replaced while this process waited for it.
            Ok(()) => {}
            Err(NoLock::Over) => return Err(wait.error(origin)),
            Err(NoLock::Failed(error)) => return Err(failed(&error)),
        }
    }
    Err(failed(&std::io::Error::other("it was replaced again and again")))
}

/// Creates an empty file that only its owner can read, if there is none. SQLite gives the WAL the same
/// permissions.
fn create_private(path: &Path) -> Result<()> {
    let failed = |message: String| Error::Unknown { message, sqlite_code: None };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path);
            match metadata {
                Ok(metadata) if metadata.is_file() => Ok(()),
                Ok(_) => Err(failed(format!("{} is no regular file; it was left alone. Move it away to use this origin.", path.display()))),
                Err(error) => Err(failed(format!("{} cannot be looked at ({error})", path.display()))),
            }
        }
        Err(error) => Err(failed(format!("{} cannot be created ({error})", path.display()))),
    }
}

/// The file whose presence says that the database `path` is to be examined when it is next opened, because a call has met
/// damage in it.
fn suspicion(path: &Path) -> PathBuf {
    path.with_extension("suspect")
}

/// Removes the note that a database is to be examined, because it was, or is gone.
pub fn forget_suspicion(path: &Path) {
    match fs::remove_file(suspicion(path)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::debug!(%error, path = %path.display(), "the note that a storage file is to be examined could not be removed");
        }
        _ => {}
    }
}

/// Appends to a file name, as SQLite does for the files that belong to a database.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
