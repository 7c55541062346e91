//! The shed: the directory of one user's persistent storage, and the bottles in it.
//!
//! `bottles/` holds a database file and a lock file for each origin, and a note for one that is to be examined, `damaged/` what was found damaged and
//! moved aside, and `listeners/` a lock file for each process that listens to changes. Everything is readable by its owner only.

mod administration;
pub mod own_files;

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

pub use administration::{BottleInfo, DamagedFile, Removal, salvage};
use parking_lot::{Condvar, Mutex};

use crate::bottle::Bottle;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::place::{self, FileIdentity, Place};
use crate::sqlite::Durability;
use crate::wait::Wait;
use crate::watch::Watch;

/// The directory of the bottles in the storage directory.
const BOTTLES: &str = "bottles";

/// The directory of what was found damaged.
const DAMAGED: &str = "damaged";

/// The directory of the processes that listen to changes.
const LISTENERS: &str = "listeners";

/// The directory of one user's persistent storage.
pub struct Shed {
    bottles_dir: PathBuf,
    damaged_dir: PathBuf,
    listeners_dir: PathBuf,
    /// This process as a listener, while it is one. The bottles that are listened to hold it.
    watch: Mutex<Weak<Watch>>,
    durability: Durability,
    /// Which directory `bottles_dir` was when it was examined.
    directory: FileIdentity,
    bottles: Mutex<HashMap<Origin, Known>>,
    /// Somebody has opened or removed a bottle.
    released: Condvar,
}

/// What this process knows of a bottle.
struct Known {
    /// The bottle, while any connection has it open.
    bottle: Weak<Bottle>,
    /// Whether a call has met damage in it since it was last examined.
    damage_seen: Arc<AtomicBool>,
    /// Whether somebody in this process is opening or removing it.
    claimed: bool,
}

/// The right to open or to remove the bottle of an origin, which only one in this process has. Others go on to use
/// other bottles meanwhile.
struct Claim<'a> {
    shed: &'a Shed,
    origin: &'a Origin,
    damage_seen: Arc<AtomicBool>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.shed.bottles.lock().get_mut(self.origin) {
            known.claimed = false;
        }
        self.shed.released.notify_all();
    }
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
        require_own(&dir, 0o022, "that nobody else can write to (chmod go-w), because whoever can write there can exchange what is in it")
            .map_err(|error| unusable(&dir, &error))?;
        let private = [BOTTLES, DAMAGED, LISTENERS].map(|name| dir.join(name));
        for private in &private {
            make_dir(private)
                .and_then(|()| require_own(private, 0o077, "that nobody else can access (chmod 700)"))
                .map_err(|error| unusable(private, &error))?;
        }
        let [bottles_dir, damaged_dir, listeners_dir] = private;
        let directory = place::identity(&bottles_dir).ok_or_else(|| unusable(&bottles_dir, &"it is gone"))?;
        Ok(Shed {
            bottles_dir,
            damaged_dir,
            listeners_dir,
            watch: Mutex::default(),
            durability,
            directory,
            bottles: Mutex::default(),
            released: Condvar::new(),
        })
    }

    /// Whether a directory has been used as a storage directory. True also if that cannot be told, so that using it
    /// says why.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        dir.join(BOTTLES).try_exists().unwrap_or(true)
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
    pub fn open(&self, origin: &Origin, quota: u64, wait: &Wait) -> Result<Arc<Bottle>> {
        if let Some(bottle) = self.opened(origin) {
            return Ok(bottle);
        }
        let claim = self.claim(origin, wait)?;
        // Another connection may have opened it meanwhile.
        if let Some(bottle) = self.opened(origin) {
            return Ok(bottle);
        }
        let place = self.place(self.path(origin), origin.clone(), Arc::clone(&claim.damage_seen), wait)?;
        let bottle = Arc::new(Bottle::new(place, self.listeners_dir.clone(), quota, wait)?);
        if let Some(known) = self.bottles.lock().get_mut(origin) {
            known.bottle = Arc::downgrade(&bottle);
        }
        Ok(bottle)
    }

    /// The bottle of an origin, if a connection of this process has it open.
    fn opened(&self, origin: &Origin) -> Option<Arc<Bottle>> {
        self.bottles.lock().get(origin).and_then(|known| known.bottle.upgrade())
    }

    /// Waits for the right to open or to remove a bottle.
    fn claim<'a>(&'a self, origin: &'a Origin, wait: &Wait) -> Result<Claim<'a>> {
        let claimed = wait.until(|longest| {
            let mut bottles = self.bottles.lock();
            if bottles.get(origin).is_some_and(|known| known.claimed) {
                self.released.wait_for(&mut bottles, longest);
            }
            if bottles.get(origin).is_some_and(|known| known.claimed) {
                return None;
            }
            bottles.retain(|_, known| known.claimed || known.bottle.strong_count() > 0 || known.damage_seen.load(Ordering::Relaxed));
            let known =
                bottles.entry(origin.clone()).or_insert_with(|| Known { bottle: Weak::new(), damage_seen: Arc::default(), claimed: false });
            known.claimed = true;
            Some(Claim { shed: self, origin, damage_seen: Arc::clone(&known.damage_seen) })
        });
        claimed.ok_or_else(|| wait.error(origin))
    }

    /// Takes the place of a bottle.
    fn place(&self, path: PathBuf, origin: Origin, damage_seen: Arc<AtomicBool>, wait: &Wait) -> Result<Place> {
        Place::take(path, origin, self.damaged_dir.clone(), self.durability, damage_seen, self.directory, wait)
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
}

/// Requires a directory of this user that gives others none of the rights in `mode`; `what` says it in words.
fn require_own(path: &Path, mode: u32, what: &str) -> std::io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.permissions().mode() & mode == 0 {
        return Ok(());
    }
    Err(std::io::Error::other(format!("it must be a directory of this user {what}")))
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
