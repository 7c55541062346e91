//! SQLite without a server: the floors of throughput. Statements are prepared once and held.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};
use webstorage_server::sqlite::SCHEMA;

use crate::calls::{key, value};

/// A database with the server's schema, and `keys` items.
pub struct Raw {
    connection: Connection,
    keys: usize,
}

impl Raw {
    /// In memory.
    pub fn memory(keys: usize) -> Self {
        Raw::new(Connection::open_in_memory().expect("there is memory"), keys)
    }

    /// In a WAL-mode file that is as safe as the server's.
    pub fn file(path: &Path, keys: usize) -> Self {
        let connection = Connection::open(path).expect("the file can be created");
        connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL").expect("the file can be in WAL mode");
        Raw::new(connection, keys)
    }

    fn new(connection: Connection, keys: usize) -> Self {
        connection.execute_batch(SCHEMA).expect("the schema is sound");
        let mut insert = connection.prepare("INSERT INTO item (area, key, value) VALUES (1, ?1, ?2)").expect("the statement is sound");
        for n in 0..keys {
            insert.execute(params![key(n).as_bytes(), value(n, 0).as_bytes()]).expect("the item is new");
        }
        drop(insert);
        Raw { connection, keys }
    }

    /// Half gets, half sets, in one transaction: how many a second.
    pub fn mixed(&self, count: usize) -> f64 {
        let mut get = self.connection.prepare(GET).expect("the statement is sound");
        let mut set = self.connection.prepare(SET).expect("the statement is sound");
        let items = items(self.keys, count);
        let began = Instant::now();
        self.connection.execute_batch("BEGIN").expect("no transaction is open");
        for (n, (key, value)) in items.iter().enumerate() {
            if n % 2 == 0 {
                let found: Vec<u8> = get.query_row([key.as_bytes()], |row| row.get(0)).expect("the item exists");
                assert!(found.len() == value.len());
            } else {
                set.execute(params![key.as_bytes(), value.as_bytes()]).expect("the item can be set");
            }
        }
        self.connection.execute_batch("COMMIT").expect("the transaction is sound");
        count as f64 / began.elapsed().as_secs_f64()
    }

    /// Sets, `group` of them in each transaction: how many a second.
    pub fn sets(&self, count: usize, group: usize) -> f64 {
        count as f64 / (self.commits(count, group).iter().sum::<f64>() / 1e6)
    }

    /// Sets, `group` of them in each transaction: how long each transaction took, in microseconds.
    pub fn commits(&self, count: usize, group: usize) -> Vec<f64> {
        let mut set = self.connection.prepare(SET).expect("the statement is sound");
        let mut open = self.connection.prepare("BEGIN IMMEDIATE").expect("the statement is sound");
        let mut commit = self.connection.prepare("COMMIT").expect("the statement is sound");
        let items = items(self.keys, count);
        let commit = |group: &[(String, String)]| {
            let began = Instant::now();
            open.execute([]).expect("nobody else writes");
            for (key, value) in group {
                set.execute(params![key.as_bytes(), value.as_bytes()]).expect("the item can be set");
            }
            commit.execute([]).expect("the disk takes it");
            began.elapsed().as_secs_f64() * 1e6
        };
        items.chunks(group).map(commit).collect()
    }
}

const GET: &str = "SELECT value FROM item WHERE area = 1 AND key = ?1";

const SET: &str = "INSERT INTO item (area, key, value) VALUES (1, ?1, ?2) ON CONFLICT (area, key) DO UPDATE SET value = excluded.value";

/// Keys in turn, with a new value each time.
fn items(keys: usize, count: usize) -> Vec<(String, String)> {
    (0..count).map(|n| (key(n % keys), value(n % keys, 1 + fastrand::usize(..1 << 40)))).collect()
}
