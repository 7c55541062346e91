//! Looking into databases without using them: administration, and what is left of damaged ones.

#![allow(clippy::missing_errors_doc, reason = "every function here fails exactly when SQLite does")]

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, params_from_iter};

use super::{Database, Foreign, OUT_OF_ORDER, corrupt, is_damage, is_interrupted, schema, signed};
use crate::dom_string::{is_wtf8, units};
use crate::lock::Lock;
use crate::wait::Wait;

/// The most problems that a check lists.
const MAX_PROBLEMS: usize = 20;

/// The most single items that are looked for between the readable ends of a damaged table.
const MAX_PROBES: u64 = 1 << 20;

/// The fewest bytes that an item takes in a file.
const MIN_ITEM: u64 = 16;

/// The types that the columns of the tables besides `item` can have.
const TYPES: [(&str, &str, &[&[Type]]); 3] = [
    (
        "rows of areas",
        "SELECT id, origin, quota, usage, length, next, sequence FROM area",
        &[&[Type::Integer], &[Type::Text], &[Type::Integer], &[Type::Integer], &[Type::Integer], &[Type::Integer], &[Type::Integer]],
    ),
    (
        "changes",
        "SELECT sequence, key, old, new, url, total FROM change",
        &[
            &[Type::Integer],
            &[Type::Blob, Type::Null],
            &[Type::Blob, Type::Null],
            &[Type::Blob, Type::Null],
            &[Type::Text],
            &[Type::Integer],
        ],
    ),
    ("listeners", "SELECT name, wants, until FROM listener", &[&[Type::Text], &[Type::Integer], &[Type::Integer]]),
];

/// An item whose value is no string that this program has written.
#[derive(Debug)]
pub struct BrokenItem {
    /// Its id.
    pub id: i64,
    /// About how many 16-bit units its value has.
    pub units: u64,
    /// What of its value can be read.
    pub value: Vec<u8>,
}

/// An item of a damaged database.
#[derive(Debug)]
pub struct SalvagedItem {
    id: i64,
    /// Its key, as far as it can be read.
    pub key: Vec<u8>,
    /// Its value, as far as it can be read.
    pub value: Vec<u8>,
    /// Whether both are strings as this program writes them.
    pub is_whole: bool,
}

/// What could be read of a damaged database.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Items in key order.
    pub items: Vec<SalvagedItem>,
    /// How many items the database says it has, if that can be read.
    pub counted: Option<u64>,
    /// Whether that many were found, each as it was written.
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

    /// Everything that is wrong with a bottle's file, up to a bound: what SQLite's own check of its structure finds, and
    /// what in the rows is not as this program writes it.
    pub fn problems(&mut self, origin: &str, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Vec<String>> {
        let wait = self.wait();
        schema::end_when_unwanted(&mut self.connection, &wait, None)?;
        self.begin_read()?;
        let found = self.find_problems(origin, area, ids);
        self.rollback();
        found
    }

    fn find_problems(&self, origin: &str, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare(&format!("PRAGMA integrity_check({MAX_PROBLEMS})"))?;
        let findings = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut problems = findings.filter(|finding| finding.as_ref().map_or(true, |text| text != "ok")).collect::<Result<Vec<_>, _>>()?;
        match self.owner() {
            Ok(owner) if owner == origin => {}
            Ok(owner) => problems.push(format!("it says that it holds the storage of {owner:?}, not of {origin}")),
            Err(error) if is_damage(&error) => problems.push(format!("whose storage it holds cannot be read ({error})")),
            Err(error) => return Err(error),
        }
        match self.wrong_rows(area, ids) {
            Ok(wrong) => problems.extend(wrong),
            Err(error) if is_damage(&error) && !problems.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(problems)
    }

    /// What in the rows is not as this program writes it: types, strings, ids and counters.
    pub(super) fn wrong_rows(&self, area: i64, ids: std::ops::Range<i64>) -> rusqlite::Result<Vec<String>> {
        let mut problems = Vec::new();
        let (mut usage, mut length, mut broken, mut typed, mut astray) = (0, 0_u64, 0_u64, 0_u64, 0_u64);
        let (mut greatest, mut last) = (ids.start - 1, None);
        self.each_row("SELECT id, key, value, area FROM item ORDER BY id", &mut |row| {
            let (id, key, value): (i64, _, _) = (row.get(0)?, row.get_ref(1)?, row.get_ref(2)?);
            if last.replace(id).is_some_and(|last| id <= last) {
                return Err(corrupt(OUT_OF_ORDER));
            }
            length += 1;
            astray += u64::from(!ids.contains(&id) || row.get_ref(3)? != ValueRef::Integer(area));
            greatest = greatest.max(id);
            typed += u64::from(!matches!((key, value), (ValueRef::Blob(_), ValueRef::Blob(_))));
            let (key, value) = (bytes(key).unwrap_or_default(), bytes(value).unwrap_or_default());
            broken += u64::from(!is_wtf8(key) || !is_wtf8(value));
            usage += 2 * (units(key) + units(value));
            Ok(())
        })?;
        if typed > 0 {
            problems.push(format!("of {length} items {typed} have a key or a value of another type than it was written with"));
        }
        if broken > 0 {
            problems.push(format!("of {length} items {broken} have a key or a value that is no string any more"));
        }
        if astray > 0 {
            problems.push(format!("of {length} items {astray} have a number or an area that no item here can have"));
        }
        match self.area(area) {
            Ok(_) if !problems.is_empty() => {}
            Ok(row) if (usage, length) != (row.usage, row.length) => {
                problems.push(format!("{length} items of {usage} bytes are there, but {} of {} bytes are counted", row.length, row.usage));
            }
            Ok(row) if !(greatest + 1..ids.end).contains(&ids.start.saturating_add(signed(row.next))) => {
                problems.push(format!("the next new item would get the number {}, which is taken or too high", row.next));
            }
            Ok(_) => {}
            Err(error) if is_damage(&error) => problems.push(format!("the row of its area cannot be read ({error})")),
            Err(error) => return Err(error),
        }
        if self.has_other_area(area)? {
            problems.push("it has more areas than the one of its origin".to_owned());
        }
        for (what, sql, types) in TYPES {
            let mut wrong = 0_u64;
            self.each_row(sql, &mut |row| {
                let is_wrong = types
                    .iter()
                    .enumerate()
                    .any(|(column, types)| row.get_ref(column).is_ok_and(|value| !types.contains(&value.data_type())));
                wrong += u64::from(is_wrong);
                Ok(())
            })?;
            if wrong > 0 {
                problems.push(format!("{wrong} {what} have a value of another type than it was written with"));
            }
        }
        for read in [self.listeners().map(drop), self.changes(0, |_| true)] {
            match read {
                Err(error) if is_damage(&error) && problems.is_empty() => problems.push(error.to_string()),
                Err(error) if !is_damage(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(problems)
    }

    /// The item of a key whose value is no string that this program has written; `None` if it is sound or cannot be read.
    pub fn broken_item(&self, area: i64, key: &[u8]) -> rusqlite::Result<Option<BrokenItem>> {
        let mut statement = self.prepare("SELECT id, value FROM item WHERE area = ?1 AND key = ?2")?;
        let item = statement.query_row(params![area, key], |row| {
            let value = row.get_ref(1)?;
            let is_sound = matches!(value, ValueRef::Blob(bytes) if is_wtf8(bytes));
            let units = units(bytes(value).unwrap_or_default());
            Ok(Some(BrokenItem { id: row.get(0)?, units, value: readable(value).unwrap_or_default() }).filter(|_| !is_sound))
        });
        item.optional().map(Option::flatten)
    }

    /// The bytes that items count, also those that are no strings any more, as far as that can be told.
    pub fn usage(&self, ids: std::ops::Range<i64>) -> rusqlite::Result<u64> {
        let mut statement = self.prepare("SELECT key, value FROM item WHERE id >= ?1 AND id < ?2")?;
        let mut rows = statement.query(params![ids.start, ids.end])?;
        let mut usage = 0;
        while let Some(row) = rows.next()? {
            usage += 2 * (units(bytes(row.get_ref(0)?).unwrap_or_default()) + units(bytes(row.get_ref(1)?).unwrap_or_default()));
        }
        Ok(usage)
    }

    /// Calls `f` with each row of a table in the order of its first column, which has no two alike.
    fn each_row(&self, sql: &str, f: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            f(row)?;
        }
        Ok(())
    }

    /// Makes sure that the disk has everything that was committed. `false` if others were in the way for too
    /// long.
    pub fn flush(&self) -> rusqlite::Result<bool> {
        // A checkpoint syncs the WAL before it copies, and the database after that.
        self.connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
    }

    /// Opens a damaged file without changing anything. That its schema is not ours is `Ok(None)`: nothing may be read by
    /// it then.
    pub fn open_damaged(path: &Path, wait: &Wait) -> io::Result<Option<Self>> {
        // Opening a pipe would wait for somebody who writes to it.
        for suffix in ["", "-wal", "-shm", "-journal"] {
            match fs::symlink_metadata(with_suffix(path, suffix)) {
                Ok(metadata) if !metadata.is_file() => return Err(io::Error::other(format!("{suffix:?} of it is no regular file"))),
                _ => {}
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let opened = Connection::open_with_flags(path, flags).map(Database::of).and_then(|mut database| {
            database.harden()?;
            database.wait_as(wait);
            let found = database.find_foreign()?;
            schema::end_when_unwanted(&mut database.connection, wait, None)?;
            Ok(found.is_none().then_some(database))
        });
        match opened {
            Err(error) if is_interrupted(&error) => Err(io::Error::other(error)),
            opened => Ok(opened.unwrap_or_default()),
        }
    }

    /// Reads the items of a damaged database: from the start up to the damage, from the end down to it, and
    /// what can be found one by one between.
    #[must_use]
    pub fn salvage(&self, area: i64, ids: std::ops::Range<i64>) -> Salvaged {
        let (mut found, mut met_damage) = self.walk("SELECT id, key, value FROM item ORDER BY id", None);
        if met_damage {
            let last = found.last().map(|item| item.id);
            let (mut down, _) = self.walk("SELECT id, key, value FROM item WHERE id > ?1 ORDER BY id DESC", Some(last.unwrap_or(i64::MIN)));
            down.reverse();
            let first = last.map_or(ids.start, |last| last.saturating_add(1));
            let end = down.first().map_or(ids.end, |item| item.id);
            for id in self.ids_between(first, end) {
                found.extend(self.probe(id));
            }
            found.extend(down);
        }
        let counted = self.area(area).ok().map(|row| row.length);
        met_damage |= counted != Some(found.len() as u64);
        Salvaged { counted, complete: !met_damage && found.iter().all(|item| item.is_whole), items: found }
    }

    /// The ids between two that items may have which the table does not lead to: those that the index of keys names, and
    /// as many others as the file has room for.
    fn ids_between(&self, first: i64, end: i64) -> BTreeSet<i64> {
        let mut ids = BTreeSet::new();
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT id FROM item INDEXED BY sqlite_autoindex_item_1 ORDER BY area {order}, key {order}");
            // What is read before the index is damaged too counts.
            let walked = self.each_row(&sql, &mut |row| {
                ids.extend(row.get_ref(0)?.as_i64().ok().filter(|id| (first..end).contains(id)));
                if ids.len() as u64 > MAX_PROBES { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
            });
            if walked.is_ok() {
                return ids;
            }
        }
        let room = self.free_and_all_bytes().map_or(0, |(_, all)| all / MIN_ITEM).min(MAX_PROBES);
        ids.extend(first..end.min(first.saturating_add(signed(room))));
        ids
    }

    /// Reads the items of a damaged file whose first page says nothing of the others any more, by way of a
    /// temporary copy with the first page of a new database: one schema gives the same first page each time but
    /// for the counts in its header. It is never complete, because who damaged the first page may have damaged any.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub fn salvage_without_first_page(path: &Path, area: i64, ids: std::ops::Range<i64>, wait: &Wait) -> io::Result<Salvaged> {
        if !fs::symlink_metadata(path)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let directory = tempfile::tempdir()?;
        let copy = directory.path().join("copy.sqlite");
        let copy_wal = with_suffix(&copy, "-wal");
        fs::copy(path, &copy)?;
        match fs::copy(with_suffix(path, "-wal"), &copy_wal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let first_page = new_first_page().map_err(io::Error::other)?;
        fs::OpenOptions::new().write(true).open(&copy)?.write_all_at(&first_page, 0)?;
        let mut database = Database::open_damaged(&copy, wait)?;
        if database.is_none() && copy_wal.exists() {
            // The WAL can have a first page too.
            fs::remove_file(&copy_wal)?;
            database = Database::open_damaged(&copy, wait)?;
        }
        Ok(Salvaged { complete: false, ..database.map(|database| database.salvage(area, ids)).unwrap_or_default() })
    }

    /// Reads rows until the end or the first failure, and says whether it was a failure.
    fn walk(&self, sql: &str, from: Option<i64>) -> (Vec<SalvagedItem>, bool) {
        let mut found: Vec<SalvagedItem> = Vec::new();
        let walked = (|| {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query(params_from_iter(from))?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                // Pages that lead to each other in a circle would give rows without end.
                if found.last().is_some_and(|last| if from.is_some() { id >= last.id } else { id <= last.id }) {
                    return Err(corrupt(OUT_OF_ORDER));
                }
                found.extend(SalvagedItem::read(row)?);
            }
            Ok::<(), rusqlite::Error>(())
        })();
        (found, walked.is_err())
    }

    fn probe(&self, id: i64) -> Option<SalvagedItem> {
        let mut statement = self.prepare("SELECT id, key, value FROM item WHERE id = ?1").ok()?;
        statement.query_row([id], SalvagedItem::read).ok()?
    }
}

impl SalvagedItem {
    /// What a row has; `None` if that has no string for its key or value.
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let (key, value) = (row.get_ref(1)?, row.get_ref(2)?);
        let is_whole = [key, value].iter().all(|part| matches!(part, ValueRef::Blob(bytes) if is_wtf8(bytes)));
        let id = row.get(0)?;
        Ok(readable(key).zip(readable(value)).map(|(key, value)| SalvagedItem { id, key, value, is_whole }))
    }
}

/// The bytes of a string, also of one that is held as text.
fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Some(bytes),
        _ => None,
    }
}

/// A string, and of what is none any more the part that can be read.
fn readable(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        other => {
            bytes(other).map(|bytes| if is_wtf8(bytes) { bytes.to_vec() } else { String::from_utf8_lossy(bytes).into_owned().into_bytes() })
        }
    }
}

/// The first page of a database with this program's schema, whatever its length.
fn new_first_page() -> rusqlite::Result<Vec<u8>> {
    /// Where the header has the number of pages. Zero leaves it to the length of the file.
    const PAGE_COUNT: std::ops::Range<usize> = 28..32;
    let mut database = Database::open_memory()?;
    database.mark_as_ours()?;
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
