//! Which files belong to a storage directory, so that nothing but SQLite opens or replaces them.
//!
//! As soon as a process closes a file, through whatever descriptor, POSIX drops every lock that it has on it. Reading a
//! bottle's file and closing it would leave this process without the locks that its databases rely on, and other
//! processes would remove what is still needed. So each path that somebody names is looked at, by way of its name and of
//! its device and inode, before it is opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{BOTTLES, DAMAGED, LISTENERS};
use crate::place::FileIdentity;

/// The directories of a storage directory.
const DIRECTORIES: [&str; 3] = [BOTTLES, DAMAGED, LISTENERS];

/// The storage directory that one of the files `paths` belongs to, if any does. That they are not there yet, or are links to
/// what is meant, does not matter. Hard links are told in the storage directories `known`; by their place files of others
/// are told as well.
///
/// # Errors
/// When one of the directories cannot be read.
pub fn owner(paths: &[PathBuf], known: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    for path in paths {
        let path = follow_links(path);
        let (Some(Ok(parent)), Some(name)) = (path.parent().map(fs::canonicalize), path.file_name()) else { continue };
        if let Some(dir) = parent.parent()
            && DIRECTORIES.iter().any(|own| parent.ends_with(own))
            && DIRECTORIES.iter().all(|own| dir.join(own).is_dir())
        {
            return Ok(Some(dir.to_owned()));
        }
        let parent = identity(&parent);
        let is_parent = |dir: &Path| parent.is_some() && identity(dir) == parent;
        let is_in = |dir: &&PathBuf| {
            DIRECTORIES.iter().any(|own| is_parent(&dir.join(own))) || is_parent(dir) && DIRECTORIES.iter().any(|own| name == *own)
        };
        if let Some(dir) = known.iter().find(is_in) {
            return Ok(Some(dir.clone()));
        }
    }
    let wanted: Vec<FileIdentity> = paths.iter().filter_map(|path| identity(path)).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    for dir in known {
        for own in DIRECTORIES {
            let entries = match fs::read_dir(dir.join(own)) {
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
                entries => entries?,
            };
            for entry in entries {
                if crate::place::identity(&entry?.path()).is_some_and(|own| wanted.contains(&own)) {
                    return Ok(Some(dir.clone()));
                }
            }
        }
    }
    Ok(None)
}

/// The path that is meant by one that may be a symbolic link, also if nothing is there yet.
#[must_use]
pub fn follow_links(path: &Path) -> PathBuf {
    /// As many as Linux follows.
    const MAX_LINKS: usize = 40;
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(&path).join(next);
    }
    path
}

/// Which file a path leads to.
fn identity(path: &Path) -> Option<FileIdentity> {
    let stat = rustix::fs::stat(path).ok()?;
    Some((stat.st_dev, stat.st_ino))
}
