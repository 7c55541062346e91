//! The databases in which other programs keep web storage.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::dom_string::from_utf16le;
use crate::state_file::Items;

/// From the bytes of a column to WTF-8.
type Decode = fn(&[u8]) -> Vec<u8>;

/// Reads the items of a file that Node's `--localstorage-file` names, or of a `local_storage` file of Deno, in
/// the order in which they were added. `None` if it is neither's. Nothing is changed, and the program may be
/// using the file.
///
/// # Errors
/// When SQLite fails.
pub fn read_items(path: &Path) -> rusqlite::Result<Option<Items>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(super::wait_for_lock))?;
    connection.execute_batch("PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0;")?;
    let has_table = |name: &str| {
        connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)", [name], |row| {
            row.get::<_, bool>(0)
        })
    };
    let (sql, decode): (_, Decode) = if has_table("nodejs_webstorage")? {
        ("SELECT key, value FROM nodejs_webstorage ORDER BY rowid", from_utf16le)
    } else if has_table("data")? {
        ("SELECT key, value FROM data ORDER BY rowid", |text| String::from_utf8_lossy(text).into_owned().into_bytes())
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
