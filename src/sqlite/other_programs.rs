//! The databases in which other programs keep web storage.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{corrupt, schema};
use crate::dom_string::{DomString, from_utf16le};
use crate::state_file::Items;
use crate::wait::Wait;

/// A program that keeps web storage in a database.
struct Program {
    /// The table of the items, with the columns `key` and `value`.
    table: &'static str,
    /// How it declares its tables.
    tables: &'static [(&'static str, &'static str)],
    /// Triggers that it also makes. Reading runs none of them, so what they do is not looked at.
    triggers: &'static [&'static str],
    /// What must be true of the database besides, as SQL, and what it means if it is not.
    mark: (&'static str, &'static str),
    /// What a key or a value is in it.
    kind: &'static str,
    /// From a key or a value to WTF-8; `None` if it is not of this kind.
    decode: fn(ValueRef<'_>) -> Option<Vec<u8>>,
}

/// Node since 22.4, and Bun.
const NODE: Program = Program {
    table: "nodejs_webstorage",
    tables: &[
        ("nodejs_webstorage", "CREATE TABLE nodejs_webstorage(key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(key)) STRICT"),
        (
            "nodejs_webstorage_state",
            "CREATE TABLE nodejs_webstorage_state(max_size INTEGER NOT NULL DEFAULT 10485760, total_size INTEGER NOT NULL, schema_version INTEGER NOT NULL DEFAULT 0, single_row_ INTEGER NOT NULL DEFAULT 1 CHECK(single_row_ = 1), PRIMARY KEY(single_row_)) STRICT",
        ),
    ],
    triggers: &["nodejs_quota_insert", "nodejs_quota_update", "nodejs_quota_delete"],
    mark: (
        "SELECT (SELECT group_concat(schema_version) FROM nodejs_webstorage_state) IS '1'",
        "nodejs_webstorage_state does not say schema_version 1, the only one that is known here",
    ),
    kind: "a BLOB of UTF-16",
    decode: |value| match value {
        ValueRef::Blob(bytes) if bytes.len().is_multiple_of(2) => Some(from_utf16le(bytes)),
        _ => None,
    },
};

/// Deno since 1.10.
const DENO: Program = Program {
    table: "data",
    tables: &[("data", "CREATE TABLE data (key VARCHAR UNIQUE, value VARCHAR)")],
    triggers: &[],
    // SQLite would turn the text of another encoding into UTF-8 and replace what that cannot say.
    mark: ("SELECT (SELECT encoding FROM pragma_encoding) IS 'UTF-8'", "its text is not in UTF-8"),
    kind: "TEXT in UTF-8",
    decode: |value| match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().map(|text| text.as_bytes().to_vec()),
        _ => None,
    },
};

/// Reads the items of a file that Node's `--localstorage-file` names, or of a `local_storage` file of Deno, in
/// the order in which the program's own `key(n)` gives them. If it is not exactly what one of them writes, says why. Nothing
/// is changed or left beside the file, and the program may be using it.
///
/// # Errors
/// When SQLite fails.
pub fn read_items(path: &Path, wait: &Wait) -> rusqlite::Result<Result<Items, String>> {
    let connection = open(path, wait)?;
    // What is looked at and what is read are of one moment.
    connection.execute_batch("BEGIN")?;
    let program = match recognise(&connection) {
        // No program that keeps web storage declares so much.
        Err(error) if schema::is_beyond_limits(&error) => return Ok(Err(NEITHER.to_owned())),
        recognised => match recognised? {
            Ok(program) => program,
            Err(why) => return Ok(Err(why)),
        },
    };
    read(&connection, program)
}

fn open(path: &Path, wait: &Wait) -> rusqlite::Result<Connection> {
    // Who may write is the one who removes the empty WAL that reading creates. Where there is something to be
    // recovered that would also change the database, which is left to its program.
    let access = if is_at_rest(path) { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let mut connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let busy = wait.clone();
    connection.busy_handler(Some(move |_attempts| super::locks::wait_for_lock(&busy)))?;
    schema::confine(&connection)?;
    schema::end_when_unwanted(&mut connection, wait, None)?;
    connection.execute_batch("PRAGMA query_only=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;")?;
    Ok(connection)
}

/// What is said of a database that is neither program's.
const NEITHER: &str = "a database, but neither that of Node's --localstorage-file nor Deno's local_storage";

/// Whose database it is. It must have exactly the tables that the program makes, as it declares them.
fn recognise(connection: &Connection) -> rusqlite::Result<Result<&'static Program, String>> {
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let objects = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?))
    })?;
    let objects = objects.collect::<rusqlite::Result<Vec<_>>>()?;
    let has_table = |table: &str| objects.iter().any(|(kind, name, ..)| kind == "table" && name == table);
    let Some(program) = [&NODE, &DENO].into_iter().find(|program| has_table(program.table)) else {
        return Ok(Err(NEITHER.to_owned()));
    };
    let refuse = |why: String| Ok(Err(format!("{NEITHER} ({why})")));
    for (table, declared) in program.tables {
        let found = objects.iter().find(|(kind, name, ..)| kind == "table" && name == table);
        match found.and_then(|(.., sql)| sql.as_deref()) {
            None => return refuse(format!("the table {table} is missing")),
            Some(sql) if !words(sql).eq(words(declared)) => {
                return refuse(format!("the table {table} is not declared as {declared}"));
            }
            Some(_) => {}
        }
    }
    for (kind, name, table, sql) in &objects {
        let is_own = program.tables.iter().any(|(own, _)| own == table);
        let is_known = match kind.as_str() {
            "table" => {
                program.tables.iter().any(|(own, _)| own == name)
                    || STATISTICS.iter().any(|(own, declared)| own == name && sql.as_deref() == Some(declared))
            }
            // That of a UNIQUE or PRIMARY KEY in the declaration.
            "index" => is_own && sql.is_none(),
            "trigger" => is_own && program.triggers.contains(&name.as_str()),
            _ => false,
        };
        if !is_known {
            return refuse(format!("it also has the {kind} {name:?}"));
        }
    }
    for mark in ["application_id", "user_version"] {
        let value = connection.pragma_query_value(None, mark, |row| row.get::<_, i64>(0))?;
        if value != 0 {
            return refuse(format!("its {mark} is {value}, not 0"));
        }
    }
    let (mark, meaning) = program.mark;
    if connection.query_row(mark, [], |row| row.get::<_, bool>(0))? { Ok(Ok(program)) } else { refuse(meaning.to_owned()) }
}

/// The tables in which SQLite itself notes how much there is in others, after `PRAGMA optimize`.
const STATISTICS: [(&str, &str); 2] = [
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];

/// The words and signs of an SQL text, whose blanks mean nothing else than to part them.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    fn is_sign(character: char) -> bool {
        !character.is_alphanumeric() && character != '_'
    }
    let parts = sql.split_ascii_whitespace().flat_map(|part| part.split_inclusive(is_sign));
    parts.flat_map(|part| {
        let (word, sign) = part.split_at(part.trim_end_matches(is_sign).len());
        [word, sign].into_iter().filter(|word| !word.is_empty())
    })
}

/// Reads the items, each exactly as the program keeps it.
fn read(connection: &Connection, program: &Program) -> rusqlite::Result<Result<Items, String>> {
    let table = program.table;
    schema::allow_long_rows(connection)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let size = number("PRAGMA page_size")?.saturating_mul(number("PRAGMA page_count")?);
    let mut left = usize::try_from(size).unwrap_or(0);
    // Both programs list the keys by their index: Node's by the bytes of UTF-16, Deno's by those of UTF-8.
    let mut statement = connection.prepare(&format!("SELECT rowid, key, value FROM {table} ORDER BY key"))?;
    let mut rows = statement.query([])?;
    let mut items = Items::new();
    let mut before: Option<(i64, Vec<u8>)> = None;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let (key, value) = (row.get_ref(1)?, row.get_ref(2)?);
        // Pages that lead to each other in a circle would give more than the file has.
        let bytes = [key, value].iter().filter_map(|column| column.as_bytes().ok()).map(<[u8]>::len).sum::<usize>();
        left = left.checked_sub(bytes + 1).ok_or_else(|| corrupt("it has more items than there is room for in it"))?;
        let refuse = |why: String| Ok(Err(format!("row {number} of {table}: {why}")));
        let Some(decoded) = (program.decode)(key) else {
            return refuse(format!("the key is {}, and not {}", shown(key), program.kind));
        };
        let raw = key.as_bytes()?;
        if let Some((earlier, before)) = &before
            && before.as_slice() >= raw
        {
            let why = if before == raw {
                format!("is that of row {earlier} as well")
            } else {
                "is out of order, the index is damaged".to_owned()
            };
            return refuse(format!("the key {} {why}", text(&decoded)));
        }
        before = Some((number, raw.to_vec()));
        let Some(value) = (program.decode)(value) else {
            return refuse(format!("the value of the key {} is {}, and not {}", text(&decoded), shown(value), program.kind));
        };
        items.push((decoded, value));
    }
    // The order comes from an index, and one that is damaged may have lost rows.
    let count = connection.query_row(&format!("SELECT count(*) FROM {table} NOT INDEXED"), [], |row| row.get::<_, i64>(0))?;
    if usize::try_from(count) != Ok(items.len()) {
        return Ok(Err(format!("{table} has {count} rows, and its index {}; the database is damaged", items.len())));
    }
    Ok(Ok(items))
}

/// The most characters that are shown of a key or a value.
const MAX_SHOWN: usize = 60;

/// A key for people.
fn text(key: &[u8]) -> String {
    shorten(&format!("{:?}", DomString::from_wtf8(key)))
}

/// What a column holds, for people.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => format!("the INTEGER {number}"),
        ValueRef::Real(number) => format!("the REAL {number}"),
        ValueRef::Text(bytes) => shorten(&format!("the TEXT {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX_SHOWN)]))),
        ValueRef::Blob(bytes) => {
            let (start, more) = bytes.split_at(bytes.len().min(MAX_SHOWN / 2));
            let digits = start.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
            let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
            format!("a BLOB of {} bytes (x'{hex}{}')", bytes.len(), if more.is_empty() { "" } else { "…" })
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…\"", &text[..end]),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_only_part_words() {
        let same = |a: &str, b: &str| words(a).eq(words(b));
        assert!(same("CREATE TABLE a(  b BLOB,\n c,PRIMARY KEY(b)) STRICT", "CREATE TABLE a (b BLOB, c, PRIMARY KEY ( b ) )STRICT"));
        assert!(same("CHECK(single_row_ = 1)", "CHECK (single_row_=1)"));
        for other in ["CREATE TABLE a(bBLOB)", "CREATE TABLE a(b BLOB", "CREATE TABLE a(b BLOB) STRICT", "CREATE TABLE \"a\"(b BLOB)"] {
            assert!(!same("CREATE TABLE a(b BLOB)", other), "{other}");
        }
    }
}
