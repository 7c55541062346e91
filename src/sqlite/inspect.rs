//! Looking into databases without using them: administration, and what is left of damaged ones.

#![allow(clippy::missing_errors_doc, reason = "every function here fails exactly when SQLite does")]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{AreaRow, Database, Foreign, blob};
use crate::dom_string::{is_wtf8, units};
use crate::lock::Lock;
use crate::wait::Wait;

/// The most problems that a check lists.
const MAX_PROBLEMS: usize = 20;

/// The most single items that are looked for between the readable ends of a damaged table.
const MAX_PROBES: i64 = 1 << 20;

/// Id, key and value.
type FoundItem = (i64, Vec<u8>, Vec<u8>);

/// What could be read of a damaged database.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Keys and values in key order.
    pub items: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether every item was found that the database says it has.
    pub complete: bool,
}

impl Database {
    /// Opens a bottle's file that exists, to look at it. A file that is not ours is `Ok(Err(_))`.
    pub fn inspect(path: &Path, lock: &Arc<Lock>, wait: &Wait) -> rusqlite::Result<Result<Self, Foreign>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut database = Database { lock: Some(Arc::clone(lock)), ..Database::of(Connection::open_with_flags(path, flags)?) };
        database.harden()?;
        database.handle_busy(wait)?;
        Ok(match database.find_foreign()? {
            Some(foreign) => Err(foreign),
            None => Ok(database),
        })
    }

    /// The origin of a bottle's file.
    pub fn owner(&self) -> rusqlite::Result<String> {
        self.connection.query_row("SELECT origin FROM area WHERE id = 1", [], |row| row.get(0))
    }

    /// Everything that is wrong with a bottle's file, up to a bound: SQLite's own check of its structure, and
    /// whether usage and length are those of the items.
    pub fn problems(&self, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Vec<String>> {
        self.begin_read()?;
        let found = self.find_problems(area, ids);
        self.rollback();
        found
    }

    fn find_problems(&self, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare(&format!("PRAGMA integrity_check({MAX_PROBLEMS})"))?;
        let findings = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut problems = findings.filter(|finding| finding.as_ref().map_or(true, |text| text != "ok")).collect::<Result<Vec<_>, _>>()?;
        let row: AreaRow = self.area(area)?;
        let (mut usage, mut length, mut broken) = (0, 0, 0);
        self.each_item(ids, u64::MAX, &mut |_, key, value| {
            usage += 2 * (units(key) + units(value));
            length += 1;
            broken += u64::from(!is_wtf8(key) || !is_wtf8(value));
            true
        })?;
        if broken > 0 {
            problems.push(format!("of {length} items {broken} have a key or a value that is no string any more"));
        } else if (usage, length) != (row.usage, row.length) {
            problems.push(format!("{length} items of {usage} bytes are there, but {} of {} bytes are counted", row.length, row.usage));
        }
        Ok(problems)
    }

    /// Makes sure that the disk has everything that was committed. `false` if others were in the way for too
    /// long.
    pub fn flush(&self) -> rusqlite::Result<bool> {
        // A checkpoint syncs the WAL before it copies, and the database after that.
        self.connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
    }

    /// Opens a damaged file without changing anything.
    pub fn open_damaged(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let database = Database::of(Connection::open_with_flags(path, flags)?);
        database.harden()?;
        Ok(database)
    }

    /// Reads the items of a damaged database: from the start up to the damage, from the end down to it, and
    /// what can be found one by one between.
    #[must_use]
    pub fn salvage(&self) -> Salvaged {
        let (up, met_damage) = self.walk("SELECT id, key, value FROM item ORDER BY id", i64::MIN);
        let mut found = up;
        if met_damage {
            let last = found.last().map_or(i64::MIN, |item| item.0);
            let (mut down, _) = self.walk("SELECT id, key, value FROM item WHERE id > ?1 ORDER BY id DESC", last);
            down.reverse();
            let first = if last == i64::MIN { 0 } else { last.saturating_add(1) };
            let end = down.first().map_or_else(|| self.greatest_id().map_or(0, |id| id + 1), |item| item.0);
            for id in first..end.min(first.saturating_add(MAX_PROBES)) {
                found.extend(self.probe(id));
            }
            found.extend(down);
        }
        let counted = self.area(1).ok().map(|row| row.length);
        let broken = found.iter().any(|(_, key, value)| !is_wtf8(key) || !is_wtf8(value));
        let complete = counted == Some(found.len() as u64) && !broken;
        Salvaged { items: found.into_iter().map(|(_, key, value)| (readable(key), readable(value))).collect(), complete }
    }

    /// Reads the items of a damaged file whose first page says nothing of the others any more, by way of a
    /// temporary copy with the first page of a new database: one schema gives the same first page each time but
    /// for the counts in its header. It is never complete, because who damaged the first page may have damaged any.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn salvage_without_first_page(path: &Path) -> io::Result<Salvaged> {
        if !fs::symlink_metadata(path)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let directory = tempfile::tempdir()?;
        let copy = directory.path().join("copy.sqlite");
        fs::copy(path, &copy)?;
        match fs::copy(with_suffix(path, "-wal"), with_suffix(&copy, "-wal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let first_page = new_first_page().map_err(io::Error::other)?;
        fs::OpenOptions::new().write(true).open(&copy)?.write_all_at(&first_page, 0)?;
        let read = Database::open_damaged(&copy).map(|database| database.salvage());
        Ok(Salvaged { complete: false, ..read.unwrap_or_default() })
    }

    /// Reads rows until the end or the first failure, and says whether it was a failure.
    fn walk(&self, sql: &str, from: i64) -> (Vec<FoundItem>, bool) {
        let mut found = Vec::new();
        let walked = (|| {
            let mut statement = self.connection.prepare(sql)?;
            let with_bound = statement.parameter_count() == 1;
            let mut rows = if with_bound { statement.query([from])? } else { statement.query([])? };
            while let Some(row) = rows.next()? {
                found.push((row.get(0)?, blob(row, 1)?.to_vec(), blob(row, 2)?.to_vec()));
            }
            Ok::<(), rusqlite::Error>(())
        })();
        (found, walked.is_err())
    }

    fn probe(&self, id: i64) -> Option<FoundItem> {
        let mut statement = self.prepare("SELECT id, key, value FROM item WHERE id = ?1").ok()?;
        statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional().ok()?
    }

    /// The greatest id that the index of keys knows, where the table itself cannot be read to its end.
    fn greatest_id(&self) -> Option<i64> {
        let mut statement = self.connection.prepare("SELECT id FROM item INDEXED BY sqlite_autoindex_item_1").ok()?;
        let mut rows = statement.query([]).ok()?;
        let mut greatest = None;
        while let Ok(Some(row)) = rows.next() {
            greatest = greatest.max(row.get(0).ok());
        }
        greatest
    }
}

/// A string, and of what is none any more the part that can be read.
fn readable(bytes: Vec<u8>) -> Vec<u8> {
    if is_wtf8(&bytes) { bytes } else { String::from_utf8_lossy(&bytes).into_owned().into_bytes() }
}

/// The first page of a database with this program's schema, whatever its length.
fn new_first_page() -> rusqlite::Result<Vec<u8>> {
    /// Where the header has the number of pages. Zero leaves it to the length of the file.
    const PAGE_COUNT: std::ops::Range<usize> = 28..32;
    let mut database = Database::open_memory()?;
    let size: u16 = database.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let mut page = database.connection.serialize("main")?.to_vec();
    page.truncate(size.into());
    page[PAGE_COUNT].fill(0);
    Ok(page)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
