//! The shed: the directory of one user's persistent storage, and the bottles in it.
//!
//! `bottles/` holds a database file and a lock file for each origin, `damaged/` what was found damaged and
//! moved aside, and `listeners/` a lock file for each process that listens to changes. Everything is readable by its owner only.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::bottle::{Bottle, explain};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::sqlite::{self, Database, Durability, Foreign};
use crate::watch::Watch;

/// The directory of one user's persistent storage.
pub struct Shed {
    bottles_dir: PathBuf,
    damaged_dir: PathBuf,
    listeners_dir: PathBuf,
    /// This process as a listener, while it is one. The bottles that are listened to hold it.
    watch: Mutex<Weak<Watch>>,
    durability: Durability,
    bottles: Mutex<HashMap<Origin, Weak<Bottle>>>,
}

impl std::fmt::Debug for Shed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shed in {}", self.dir().display())
    }
}

impl Shed {
    /// Uses the directory `dir`, which is created if needed.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if the directory is on a file system on which several processes cannot share a
    /// database, cannot be written, or belongs to somebody else.
    pub fn new(dir: &Path, durability: Durability) -> Result<Self> {
        let unusable = |path: &Path, error: &dyn std::fmt::Display| {
            Error::NotSupported(format!(
                "localStorage is not supported in this context: the storage directory {} cannot be used ({error}); choose another with --storage-dir",
                path.display()
            ))
        };
        make_dir(dir).map_err(|error| unusable(dir, &error))?;
        let dir = dir.canonicalize().map_err(|error| unusable(dir, &error))?;
        if let Some(kind) = shared_file_system(&dir).map_err(|error| unusable(&dir, &error))? {
            return Err(unusable(&dir, &format_args!("it is on {kind}, where databases shared by processes get corrupted")));
        }
        let shed = Shed {
            bottles_dir: dir.join("bottles"),
            damaged_dir: dir.join("damaged"),
            listeners_dir: dir.join("listeners"),
            watch: Mutex::default(),
            durability,
            bottles: Mutex::default(),
        };
        for private in [&shed.bottles_dir, &shed.damaged_dir, &shed.listeners_dir] {
            make_dir(private).map_err(|error| unusable(private, &error))?;
            let metadata = fs::symlink_metadata(private).map_err(|error| unusable(private, &error))?;
            if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.permissions().mode() & 0o077 != 0 {
                return Err(unusable(private, &"it must be a directory of this user that nobody else can access (chmod 700)"));
            }
        }
        Ok(shed)
    }

    /// The storage directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.bottles_dir.parent().unwrap_or(&self.bottles_dir)
    }

    /// Opens the bottle of an origin, creating it with `quota` if there is none. Connections of this process
    /// share it.
    ///
    /// # Errors
    /// [`Error::DataCorruption`] if the file is damaged: it was moved aside then, and opening again gives an
    /// empty bottle. [`Error::Unknown`], [`Error::Timeout`] or [`Error::NotSupported`] if it cannot be used;
    /// it is untouched then.
    pub fn open(&self, origin: &Origin, quota: u64) -> Result<Arc<Bottle>> {
        let mut bottles = self.bottles.lock();
        if let Some(bottle) = bottles.get(origin).and_then(Weak::upgrade) {
            return Ok(bottle);
        }
        bottles.retain(|_, bottle| bottle.strong_count() > 0);
        let path = self.path(origin);
        let lock = Self::lock_shared(&path.with_extension("lock"), origin)?;
        create_private(&path)?;
        let mut opened = self.open_database(&path, origin, quota);
        if matches!(opened, Err(Error::DataCorruption { .. })) {
            // A disk that fails for a moment looks like damage: only what fails twice, freshly opened, is.
            opened = self.open_database(&path, origin, quota);
        }
        match opened {
            Ok(database) => {
                let bottle = Arc::new(
                    Bottle::new(database, origin.clone(), path.clone(), self.listeners_dir.clone(), self.durability, lock).map_err(
                        |error| match error {
                            Error::Sqlite(error) => explain(&error, origin, &path),
                            other => other,
                        },
                    )?,
                );
                bottles.insert(origin.clone(), Arc::downgrade(&bottle));
                Ok(bottle)
            }
            Err(Error::DataCorruption { message, .. }) => Err(self.quarantine(&path, origin, &lock, &message)),
            Err(error) => Err(error),
        }
    }

    /// Watches for the changes that other processes make to a bottle. Returns what the bottle is to hold for as
    /// long as it has listeners.
    ///
    /// # Errors
    /// [`Error::Unknown`] if the operating system gives no file or no thread for it.
    pub fn watch(&self, bottle: &Arc<Bottle>) -> Result<Arc<Watch>> {
        let mut current = self.watch.lock();
        let watch = match current.upgrade() {
            Some(watch) => watch,
            None => Arc::new(Watch::new(&self.listeners_dir, &self.bottles_dir)?),
        };
        *current = Arc::downgrade(&watch);
        watch.add(bottle);
        Ok(watch)
    }

    /// The file of an origin's bottle.
    #[must_use]
    pub fn path(&self, origin: &Origin) -> PathBuf {
        self.bottles_dir.join(format!("{}.sqlite", origin.file_stem()))
    }

    fn open_database(&self, path: &Path, origin: &Origin, quota: u64) -> Result<Database> {
        match Database::open_file(path, origin.as_str(), quota, self.durability) {
            Ok(Ok(database)) => Ok(database),
            Ok(Err(foreign)) => Err(refuse(&foreign, origin, path)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Err(Error::DataCorruption {
                message: format!("{} has lost the row of its area", path.display()),
                path: path.to_owned(),
                moved_to: None,
            }),
            Err(error) => Err(explain(&error, origin, path)),
        }
    }

    /// Takes the lock that every user of a bottle holds, so that nobody moves its file away meanwhile.
    fn lock_shared(path: &Path, origin: &Origin) -> Result<File> {
        let failed = |error: &std::io::Error| Error::Unknown {
            message: format!("{} could not be locked ({error}). Nothing was changed.", path.display()),
            sqlite_code: None,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(path)
            .map_err(|error| failed(&error))?;
        let deadline = Instant::now() + sqlite::busy_timeout();
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let milliseconds = u64::try_from(sqlite::busy_timeout().as_millis()).unwrap_or(u64::MAX);
                    return Err(Error::Timeout { origin: origin.to_string(), milliseconds });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Moves a damaged file aside together with its WAL, and says so.
    fn quarantine(&self, path: &Path, origin: &Origin, lock: &File, found: &str) -> Error {
        let damaged = |message: String, moved_to: Option<PathBuf>| Error::DataCorruption { message, path: path.to_owned(), moved_to };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let moved =
            lock.unlock().map_err(TryLockError::Error).and_then(|()| lock.try_lock()).map_err(|error| error.to_string()).and_then(|()| {
                // Another process may have moved the file aside before this one got the lock.
                if !matches!(self.open_database(path, origin, 0), Err(Error::DataCorruption { .. })) {
                    return Ok(None);
                }
                let target = (0..1000)
                    .map(|n| self.damaged_dir.join(format!("{}-{seconds}-{n}.sqlite", origin.file_stem())))
                    .find(|target| !target.exists())
                    .ok_or("a thousand files were moved aside within this second")?;
                for suffix in ["-wal", "-shm", ""] {
                    let (from, to) = (with_suffix(path, suffix), with_suffix(&target, suffix));
                    match fs::rename(&from, &to) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound || suffix.is_empty() => return Err(error.to_string()),
                        _ => {}
                    }
                }
                Ok(Some(target))
            });
        match moved {
            Ok(Some(target)) => {
                tracing::error!(%origin, from = %path.display(), to = %target.display(), "a damaged storage file was moved aside");
                let message = format!(
                    "{found} It was moved to {}, complete; nothing was deleted. Opening {origin} again starts with empty storage.",
                    target.display()
                );
                damaged(message, Some(target))
            }
            Ok(None) => damaged(format!("{found} Another process has replaced it meanwhile; open {origin} again."), None),
            Err(why) => damaged(
                format!(
                    "{found} It could not be moved aside ({why}), because other processes have it open or the directory cannot be written; nothing was changed."
                ),
                None,
            ),
        }
    }
}

/// Creates an empty file that only its owner can read, if there is none. SQLite gives the WAL the same
/// permissions.
///
/// # Errors
/// When the file cannot be created, or something else has its name.
pub fn create_private(path: &Path) -> Result<()> {
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

/// Why a sound file is not used.
#[must_use]
pub fn refuse(foreign: &Foreign, origin: &Origin, path: &Path) -> Error {
    let path = path.display();
    Error::NotSupported(match foreign {
        Foreign::NewerSchema(version) => format!(
            "{path} was written by a newer webstorage-server (schema {version}, this one knows {}). It was not touched; use the newer program for {origin}.",
            sqlite::SCHEMA_VERSION
        ),
        Foreign::Application => format!("{path} is another program's database. It was not touched; move it away to use {origin}."),
        Foreign::Origin(owner) => {
            format!("{path} holds the storage of {owner}, not of {origin}. It was not touched; move it away to use {origin}.")
        }
    })
}

/// Appends to a file name, as SQLite does for the files that belong to a database.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn make_dir(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The name of the file system, if it is one whose locks and shared memory do not work between hosts or
/// processes as SQLite's WAL mode needs them.
#[cfg(target_os = "linux")]
fn shared_file_system(dir: &Path) -> std::io::Result<Option<&'static str>> {
    let magic = rustix::fs::statfs(dir)?.f_type & 0xFFFF_FFFF;
    Ok(match magic {
        0x6969 => Some("a network file system (NFS)"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => Some("a network file system (SMB)"),
        0x0102_1997 => Some("a file system shared with another machine (9p)"),
        0x6573_5546 => Some("a FUSE file system"),
        0x00C3_6400 => Some("a network file system (Ceph)"),
        0x5346_414F | 0x6B41_4653 => Some("a network file system (AFS)"),
        0x0BD0_0BD0 => Some("a network file system (Lustre)"),
        _ => None,
    })
}

/// Elsewhere the operating system does not say it in a portable way.
#[cfg(not(target_os = "linux"))]
fn shared_file_system(_dir: &Path) -> std::io::Result<Option<&'static str>> {
    Ok(None)
}
