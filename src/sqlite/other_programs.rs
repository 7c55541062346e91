//! The databases in which other programs keep web storage.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::dom_string::from_utf16le;
use crate::state_file::Items;

/// From the bytes of a column to WTF-8.
type Decode = fn(&[u8]) -> Vec<u8>;

/// Reads the items of a file that Node's `--localstorage-file` names, or of a `local_storage` file of Deno, in
/// the order in which the program's own `key(n)` gives them. `None` if it is neither's. Nothing is changed or
/// left beside the file, and the program may be using it.
///
/// # Errors
/// When SQLite fails.
pub fn read_items(path: &Path) -> rusqlite::Result<Option<Items>> {
    // Who may write is the one who removes the empty WAL that reading creates. Where there is something to be
    // recovered that would also change the database, which is left to its program.
    let access = if is_at_rest(path) { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let mut connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_handler(Some(super::locks::wait_for_lock))?;
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0;")?;
    let has_table = |name: &str| {
        connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)", [name], |row| {
            row.get::<_, bool>(0)
        })
    };
    // Both programs list the keys by their index: Node's by the bytes of UTF-16, Deno's by those of UTF-8.
    let (sql, decode): (_, Decode) = if has_table("nodejs_webstorage")? {
        ("SELECT key, value FROM nodejs_webstorage ORDER BY key", from_utf16le)
    } else if has_table("data")? {
        ("SELECT key, value FROM data ORDER BY key", |text| String::from_utf8_lossy(text).into_owned().into_bytes())
    } else {
        return Ok(None);
    };
    let mut statement = connection.prepare(sql)?;
    let items = statement.query_map([], |row| {
        let bytes = |column| -> rusqlite::Result<Vec<u8>> {
            let value = row.get_ref(column)?;
            Ok(decode(value.as_bytes()?))
        };
        Ok((bytes(0)?, bytes(1)?))
    })?;
    items.collect::<rusqlite::Result<Vec<_>>>().map(Some)
}

/// Whether nobody uses a database and nothing is left that its program would have to recover.
fn is_at_rest(path: &Path) -> bool {
    // SQLite keeps its files beside the database itself, not beside a link to it.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    ["-wal", "-journal"].iter().all(|suffix| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        std::fs::symlink_metadata(beside).map_or(true, |metadata| metadata.len() == 0)
    })
}
