//! Whose a database is, as its schema says. A file can have been made by anybody: until it is known that it has this
//! program's tables and nothing else, no statement may read from it but those here, and nothing of it may run.

use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode};

use super::open::{APPLICATION_ID, SCHEMA, SCHEMA_VERSION};
use super::{Foreign, corrupt};
use crate::wait::Wait;

/// The most bytes that a row of `sqlite_schema` may have while it is not known whose the file is; ours have a tenth of that.
const MAX_SCHEMA_ROW: i32 = 16 << 10;

/// The most objects that a schema may have; other programs that share their file with nobody have hundreds.
const MAX_OBJECTS: i32 = 64;

/// Steps of SQLite's machine between two looks whether somebody still waits. They take less than a millisecond.
const STEPS: i32 = 10_000;

/// The indexes that SQLite makes for the constraints of our tables.
const OUR_INDEXES: [&str; 1] = ["sqlite_autoindex_item_1"];

/// A row of `sqlite_schema`.
struct Object {
    kind: String,
    name: String,
    sql: Option<String>,
}

/// Takes from a connection to a file that somebody else may have written everything that could run, grow or reach
/// other files. [`allow_long_rows`] takes back what is too narrow for our own data.
pub(super) fn confine(connection: &Connection) -> rusqlite::Result<()> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_SCHEMA_ROW),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SCHEMA_ROW),
        (Limit::SQLITE_LIMIT_SCHEMA, MAX_OBJECTS),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 20),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 2),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    ] {
        connection.set_limit(limit, value)?;
    }
    Ok(())
}

/// Lets rows be as long as SQLite can have them. A row of an ordinary table is no longer than its file.
pub(super) fn allow_long_rows(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::MAX).map(drop)
}

/// Ends statements once the client has cancelled its call, or after a time.
pub(super) fn end_when_unwanted(connection: &mut Connection, wait: &Wait, after: Option<Duration>) -> rusqlite::Result<()> {
    let deadline = after.and_then(|after| Instant::now().checked_add(after));
    let wait = wait.clone();
    let unwanted = move || !wait.is_wanted() || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    connection.progress_handler(STEPS, Some(unwanted))
}

/// Lets statements take their time again.
pub(super) fn never_end(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.progress_handler(0, None::<fn() -> bool>)
}

/// Looks who wrote a file, without writing to it. Needs a transaction, because another process may be creating the
/// schema.
///
/// # Errors
/// When SQLite fails; that the file is damaged if it is ours but for something that a fault of the disk can have changed.
pub(super) fn find_foreign(connection: &Connection) -> rusqlite::Result<Option<Foreign>> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    // Neither makes SQLite read the schema.
    let version = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    let is_ours = application == APPLICATION_ID;
    let objects = match objects(connection) {
        Ok(objects) => objects,
        // What is beyond the limits that were set. Ours is not.
        Err(error) if is_beyond_limits(&error) => {
            return Ok(Some(if is_ours {
                Foreign::Schema("more or longer definitions than any bottle".to_owned())
            } else {
                Foreign::Application
            }));
        }
        Err(_) if !is_ours && application != 0 => return Ok(Some(Foreign::Application)),
        // A version of SQLite's own format, say, that there is none of.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => return Err(corrupt(error.to_string())),
        Err(error) => return Err(error),
    };
    if objects.is_empty() && version == 0 && (is_ours || application == 0) {
        return Ok(None);
    }
    let difference = difference(&objects);
    if !is_ours {
        // No other program makes these very tables.
        return if difference.is_none() && application != 0 && version == SCHEMA_VERSION {
            Err(corrupt(format!("its application id is {application:#x}")))
        } else {
            Ok(Some(Foreign::Application))
        };
    }
    if version > SCHEMA_VERSION {
        return Ok(Some(Foreign::NewerSchema(version)));
    }
    if version != SCHEMA_VERSION {
        return Err(corrupt(format!("its schema has the version {version}")));
    }
    match difference {
        None => Ok(None),
        Some(Difference::Added(what)) => Ok(Some(Foreign::Schema(what))),
        Some(Difference::Changed(what)) => Err(corrupt(what)),
    }
}

/// How a schema is not ours.
enum Difference {
    /// By what somebody has added or declared otherwise.
    Added(String),
    /// By what a fault of the disk can have done.
    Changed(String),
}

fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid")?;
    statement.query_map([], |row| Ok(Object { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?.collect()
}

/// Whether a schema has more than [`confine`] allows.
pub(super) fn is_beyond_limits(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(error, message) => {
            // Reading the schema gives other codes for what is too long or too many in it.
            let says = |end: &str| message.as_ref().is_some_and(|message| message.ends_with(end));
            error.code == ErrorCode::TooBig || says("string or blob too big") || says("too many schema objects")
        }
        _ => false,
    }
}

fn difference(objects: &[Object]) -> Option<Difference> {
    let ours = our_tables();
    let mut found = 0;
    for Object { kind, name, sql } in objects {
        let sql = sql.as_deref();
        let expected = ours.iter().find(|(own, _)| own == name).map(|(_, sql)| *sql);
        let is_ours = match kind.as_str() {
            "table" => expected.zip(sql).is_some_and(|(expected, sql)| tokens(expected).eq(tokens(sql))),
            "index" => OUR_INDEXES.contains(&name.as_str()) && sql.is_none(),
            _ => false,
        };
        if is_ours {
            found += 1;
            continue;
        }
        // A disk changes a byte of a definition, but neither its length nor how many there are.
        let is_changed = objects.len() <= ours.len() + OUR_INDEXES.len()
            && matches!(kind.as_str(), "table" | "index")
            && ours.iter().any(|(_, own)| sql.is_some_and(|sql| sql.len() == own.len()));
        let shown: String = name.chars().take(60).collect();
        return Some(if is_changed {
            Difference::Changed(format!("the definition of its table {shown:?} is not as it was written"))
        } else {
            let kind = if matches!(kind.as_str(), "view" | "trigger" | "index") { kind } else { "table" };
            let otherwise = if expected.is_some() { " that is not as this program defines it" } else { "" };
            Difference::Added(format!("the {kind} {shown:?}{otherwise}"))
        });
    }
    (found != ours.len() + OUR_INDEXES.len()).then(|| Difference::Changed("it has lost a table".to_owned()))
}

/// The names and definitions of our tables, as SQLite keeps them.
fn our_tables() -> Vec<(&'static str, &'static str)> {
    const CREATE: &str = "CREATE TABLE ";
    let starts = SCHEMA.match_indices(CREATE).map(|(start, _)| start);
    let table = |start: usize| {
        let end = SCHEMA[start..].find("\n)").and_then(|close| Some(start + close + SCHEMA[start + close..].find(';')?))?;
        let name = SCHEMA[start + CREATE.len()..end].split_ascii_whitespace().next()?;
        Some((name, &SCHEMA[start..end]))
    };
    starts.filter_map(table).collect()
}

/// The words of a definition without its comments. Of a definition with quotes or other comments something is left that ours
/// have not.
fn tokens(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(['\n']).flat_map(|line| line.split("--").next().unwrap_or_default().split_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_schema_is_known() {
        let connection = Connection::open_in_memory().expect("there is memory");
        connection.execute_batch(SCHEMA).expect("the schema is valid");
        let objects = objects(&connection).expect("the schema can be read");
        assert_eq!(objects.len(), our_tables().len() + OUR_INDEXES.len());
        assert!(difference(&objects).is_none());
    }
}
