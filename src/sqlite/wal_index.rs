//! Which commit is the newest in a WAL-mode file, as the memory says that all processes which have the file open
//! share: the header of the wal-index (<https://sqlite.org/walformat.html>, section 2.1).
//!
//! SQLite itself says this only from inside a transaction, whose locks cost a system call each to take and to give
//! back. Reading the header costs none.

#![allow(unsafe_code, reason = "SQLite has the memory mapped and hands it out by its C interface for storage only")]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::ffi;

use super::Database;

/// The header is that of the newest commit, in 32-bit words.
const WORDS: usize = 12;

/// The only version of the format that there is, in word 0.
const FORMAT: u32 = 3_007_000;

/// The word that each commit increments.
const COUNTER: usize = 2;

/// The bytes that SQLite maps at a time.
const REGION_BYTES: c_int = 32_768;

/// The newest commit of a file at some moment. Two that are equal are the same commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit([u32; WORDS]);

impl Commit {
    /// Whether nobody else has committed up to this commit since `before`, which was the newest one when a
    /// transaction of ours got the write lock. `wrote` says that the transaction has committed something: else the
    /// commit after `before` is another's.
    #[must_use]
    pub fn is_ours(&self, before: &Commit, wrote: bool) -> bool {
        if wrote { self.0[COUNTER] == before.0[COUNTER].wrapping_add(1) } else { self == before }
    }
}

impl Database {
    /// The newest commit of the file; `None` if that cannot be told without a transaction. Every commit that was
    /// acknowledged before the call is the result or precedes it.
    #[must_use]
    pub fn newest_commit(&self) -> Option<Commit> {
        let header = self.wal_index()?;
        // A writer changes the second of two copies of the header first. Whatever it is doing now, a first copy
        // that is still an earlier commit's means that the new commit is not done and was told to nobody.
        let mut words = [0; WORDS];
        for (n, word) in words.iter_mut().enumerate() {
            // SAFETY: the region has 32 KiB and begins at a page, so that every word is there and aligned, and
            // stays mapped for as long as the database is open. Other processes change it at any time, and
            // therefore it is read as atomics only.
            *word = unsafe { AtomicU32::from_ptr(header.add(n)) }.load(Ordering::Acquire);
        }
        (words[0] == FORMAT).then_some(Commit(words))
    }

    /// Where the header is mapped; `None` where the file has none, as one that is not in WAL mode.
    fn wal_index(&self) -> Option<*mut u32> {
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: the handle is that of an open connection, which this thread alone uses, and SQLite writes
        // one pointer through the last argument.
        let found = unsafe {
            ffi::sqlite3_file_control(self.connection.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, (&raw mut file).cast())
        };
        if found != ffi::SQLITE_OK || file.is_null() {
            return None;
        }
        // SAFETY: the file is the open connection's. Its methods are static, or null before it is open.
        let methods = unsafe { (*file).pMethods.as_ref() }?;
        let map = methods.xShmMap.filter(|_| methods.iVersion >= 2)?;
        let mut region: *mut c_void = ptr::null_mut();
        // SAFETY: this is the call by which SQLite finds the region itself, on a file that is open and in the thread that
        // uses it. What SQLite has mapped is given without a system call. Before its first transaction in WAL mode it
        // has mapped nothing: then the call opens the memory's file, as that transaction would, and as the fourth
        // argument asks it neither makes it longer nor maps what it does not have.
        let mapped = unsafe { map(file, 0, REGION_BYTES, 0, (&raw mut region).cast()) };
        (mapped == ffi::SQLITE_OK && !region.is_null()).then_some(region.cast())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Durability, SCHEMA_VERSION};
    use super::*;

    fn open(path: &std::path::Path) -> Database {
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the directory is writable");
        let lock = crate::lock::Lock::open(&path.with_extension("lock")).expect("the directory is writable");
        let wait = crate::wait::Wait::at_most(std::time::Duration::ZERO);
        let opened = Database::open_file(path, "http://test", 1000, Durability::Normal, &lock.into(), &wait).expect("the file is sound");
        opened.expect("the file is ours")
    }

    fn write(database: &Database, quota: u64) {
        let commits = database.commits();
        let mut row = database.area(1).expect("the area is there");
        row.quota = quota;
        database.begin_write().expect("nobody holds the lock");
        database.update_area(1, &row).expect("the area is there");
        assert_eq!(database.commits(), commits);
        database.commit().expect("a transaction is open");
        assert_eq!(database.commits(), commits + 1);
    }

    #[test]
    fn it_changes_with_each_commit_of_anybody_and_with_nothing_else() {
        let dir = tempfile::tempdir().expect("there is a temporary directory");
        let path = dir.path().canonicalize().expect("the directory is there").join("file");
        let (one, other) = (open(&path), open(&path));
        let newest = || one.newest_commit().expect("the file is in WAL mode");
        let created = newest();
        assert_eq!(Some(created), other.newest_commit());
        assert_eq!(one.connection.query_row("PRAGMA user_version", [], |row| row.get(0)), Ok(SCHEMA_VERSION));
        assert_eq!(newest(), created);
        one.begin_write().expect("nobody holds the lock");
        one.commit().expect("a transaction is open");
        assert_eq!((newest(), one.commits()), (created, 1), "nothing was written but the schema");
        write(&one, 1);
        let first = newest();
        assert!(first.is_ours(&created, true) && !first.is_ours(&created, false));
        assert!(first.is_ours(&first, false) && !first.is_ours(&first, true));
        other.begin_write().expect("nobody holds the lock");
        other.insert_area(2, "http://other", &other.area(1).expect("the area is there")).expect("there is none");
        assert_eq!(newest(), first);
        other.commit().expect("a transaction is open");
        write(&one, 2);
        let third = newest();
        assert!(third != first && !third.is_ours(&first, true));
        one.checkpoint_and_truncate().expect("nobody is in the way");
        let emptied = newest();
        write(&other, 3);
        assert!(newest().is_ours(&emptied, true) && newest().is_ours(&third, true));
    }

    #[test]
    fn a_database_in_memory_has_none() {
        assert_eq!(Database::open_memory().expect("there is memory").newest_commit(), None);
    }
}
