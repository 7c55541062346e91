//! Looking at the bottles of a shed, and removing them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Shed;
use crate::area;
use crate::bottle::AREA;
use crate::error::{Error, Result};
use crate::lock::{Lock, NoLock};
use crate::origin::Origin;
use crate::place::{Place, forget_suspicion, require_directory, with_suffix};
use crate::sqlite::{self, AreaRow, Database, Salvaged};
use crate::wait::Wait;

/// What is appended to the name of a bottle for each of its files.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

/// What is known of a bottle from outside.
#[derive(Debug)]
pub struct BottleInfo {
    /// Its file.
    pub path: PathBuf,
    /// The size of its files in bytes.
    pub size: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub changed: u64,
    /// Its origin and area, or why they cannot be read.
    pub content: Result<(String, AreaRow)>,
}

/// A file that was found damaged and moved aside.
#[derive(Debug)]
pub struct DamagedFile {
    /// Its name, for [`Shed::salvage`].
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// What has become of a bottle that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// There was none.
    Absent,
    /// Its files are gone.
    Removed,
    /// Somebody has it open, so that it can only be emptied.
    InUse,
}

impl Shed {
    /// Every bottle, ordered by file name. Nothing is opened for longer than a look.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn bottles(&self, wait: &Wait) -> Result<Vec<BottleInfo>> {
        let mut paths = Vec::new();
        require_directory(&self.bottles_dir, self.directory)?;
        for entry in fs::read_dir(&self.bottles_dir).map_err(|error| unreadable(&self.bottles_dir, &error))? {
            let path = entry.map_err(|error| unreadable(&self.bottles_dir, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "sqlite") && !is_blank(&path) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths.into_iter().map(|path| self.bottle_info(path, wait)).collect())
    }

    fn bottle_info(&self, path: PathBuf, wait: &Wait) -> BottleInfo {
        let (mut size, mut changed) = (0, UNIX_EPOCH);
        for suffix in ["", "-wal"] {
            if let Ok(metadata) = fs::symlink_metadata(with_suffix(&path, suffix)) {
                size += metadata.len();
                changed = changed.max(metadata.modified().unwrap_or(UNIX_EPOCH));
            }
        }
        let content = self.look(&path, wait);
        BottleInfo { path, size, changed: milliseconds(changed), content }
    }

    /// Reads origin and row. The lock keeps others from moving the file away meanwhile.
    fn look(&self, path: &Path, wait: &Wait) -> Result<(String, AreaRow)> {
        let unknown = Origin::parse("null")?;
        let place = self.place(path.to_owned(), unknown, Arc::default(), wait)?;
        inspect(&place, wait, |database| Ok((database.owner()?, database.area(AREA)?)))
    }

    /// The size of a bottle's files, in bytes.
    #[must_use]
    pub fn size(&self, origin: &Origin) -> u64 {
        let path = self.path(origin);
        ["", "-wal"].iter().filter_map(|suffix| fs::symlink_metadata(with_suffix(&path, suffix)).ok()).map(|metadata| metadata.len()).sum()
    }

    /// What is wrong with the bottle of an origin; `None` if there is no bottle. Nothing is changed or moved.
    ///
    /// # Errors
    /// When the file cannot be read for another reason than damage, or is not ours.
    pub fn check(&self, origin: &Origin, wait: &Wait) -> Result<Option<Vec<String>>> {
        let path = self.path(origin);
        require_directory(&self.bottles_dir, self.directory)?;
        if fs::symlink_metadata(&path).is_err() || is_blank(&path) {
            return Ok(None);
        }
        let place = self.place(path, origin.clone(), Arc::default(), wait)?;
        match inspect(&place, wait, |database| database.problems(origin.as_str(), AREA, area::ids(AREA))) {
            Ok(problems) => Ok(Some(problems)),
            Err(Error::DataCorruption { message, .. }) => Ok(Some(vec![message])),
            Err(other) => Err(other),
        }
    }

    /// Removes the bottle of an origin, if nobody has it open.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&self, origin: &Origin, wait: &Wait) -> Result<Removal> {
        let path = self.path(origin);
        require_directory(&self.bottles_dir, self.directory)?;
        // What a process leaves that is killed in the middle of this is no bottle, but to be removed all the same.
        if FILES.iter().all(|suffix| fs::symlink_metadata(with_suffix(&path, suffix)).is_err()) {
            return Ok(Removal::Absent);
        }
        // While this is held nobody in this process opens the bottle.
        let _claim = self.claim(origin, wait)?;
        if self.opened(origin).is_some() {
            return Ok(Removal::InUse);
        }
        let lock_path = path.with_extension("lock");
        let lock = Lock::open(&lock_path).map_err(|error| unreadable(&lock_path, &error))?;
        match lock.hold_alone(&Wait::at_most(Duration::ZERO)) {
            Ok(()) => {}
            Err(NoLock::Over) => return Ok(Removal::InUse),
            Err(NoLock::Failed(error)) => return Err(unreadable(&lock_path, &error)),
        }
        // The lock file stays: somebody may be waiting for its lock right now. The database goes first, because without
        // its WAL it is an older state, which must not come back if this process is killed in between. A WAL without a
        // database is never taken for that of the next one.
        let mut removed = Removal::Absent;
        for suffix in FILES {
            match fs::remove_file(with_suffix(&path, suffix)) {
                Ok(()) if suffix.is_empty() => removed = Removal::Removed,
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unreadable(&path, &error)),
                _ => {}
            }
        }
        forget_suspicion(&path);
        Ok(removed)
    }

    /// The files of an origin that were found damaged and moved aside, oldest first; those of all origins if
    /// none is given.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn damaged_files(&self, origin: Option<&Origin>) -> Result<Vec<DamagedFile>> {
        let stem = origin.map(|origin| format!("{}-", origin.file_stem()));
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.damaged_dir).map_err(|error| unreadable(&self.damaged_dir, &error))? {
            let entry = entry.map_err(|error| unreadable(&self.damaged_dir, &error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let wanted = stem.as_ref().is_none_or(|stem| name.starts_with(stem));
            let is_database = wanted && Path::new(&name).extension().is_some_and(|extension| extension == "sqlite");
            // What is no file, a pipe say, was not moved here.
            if is_database && let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) {
                files.push(DamagedFile { path: entry.path(), name, size: metadata.len() });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Reads what is readable out of a damaged file that was moved aside.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such file; [`Error::DataCorruption`] if nothing in it can be read.
    pub fn salvage(&self, name: &str, wait: &Wait) -> Result<Salvaged> {
        let file =
            self.damaged_files(None)?.into_iter().find(|file| file.name == name).ok_or_else(|| {
                Error::NotFound(format!("file: there is no damaged file {name:?}; storage/check lists those of an origin"))
            })?;
        salvage(&file.path, wait)
    }
}

/// Reads what is readable out of a damaged file.
///
/// # Errors
/// [`Error::DataCorruption`] if nothing in it can be read.
pub fn salvage(path: &Path, wait: &Wait) -> Result<Salvaged> {
    let damaged = |error: std::io::Error| unreadable(path, &error);
    let read = Database::open_damaged(path, wait).map_err(damaged)?.map(|database| database.salvage(AREA, area::ids(AREA)));
    let salvaged = match read {
        Some(salvaged) if salvaged.complete || !salvaged.items.is_empty() => salvaged,
        _ => Database::salvage_without_first_page(path, AREA, area::ids(AREA), wait).map_err(damaged)?,
    };
    if salvaged.items.is_empty() && !salvaged.complete {
        return Err(Error::DataCorruption {
            message: format!("Nothing can be read out of {}; it was left as it is.", path.display()),
            path: path.to_owned(),
            moved_to: None,
        });
    }
    Ok(salvaged)
}

/// Looks into the database of a place. Nobody has a handle on it for that, which could be closed and opened again.
fn inspect<T>(place: &Place, wait: &Wait, look: impl FnOnce(&mut Database) -> rusqlite::Result<T>) -> Result<T> {
    place.require_content()?;
    let looked = Database::inspect(place.path(), place.lock(), wait).and_then(|database| match database {
        Ok(mut database) => look(&mut database).map(Ok),
        Err(foreign) => Ok(Err(foreign)),
    });
    match looked {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(foreign)) => Err(place.refuse(&foreign)),
        Err(error) if sqlite::is_damage(&error) => Err(Error::DataCorruption {
            message: format!("{} is damaged ({error}). It was left as it is.", place.path().display()),
            path: place.path().to_owned(),
            moved_to: None,
        }),
        Err(error) => Err(place.explain(&error, wait)),
    }
}

/// Whether a file is empty and has no WAL: somebody was about to make a bottle of it.
fn is_blank(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
        && fs::symlink_metadata(with_suffix(path, "-wal")).map_or(true, |metadata| metadata.len() == 0)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::Unknown { message: format!("{} could not be read or changed ({error})", path.display()), sqlite_code: None }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
