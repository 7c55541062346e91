//! What moving many items at once costs, against raw SQLite in the same run. `cargo bench --bench bulk`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonrpsee::core::server::{Extensions, MethodCallback, RpcModule};
use jsonrpsee::types::{Id, Params};
use parking_lot::Mutex;
use webstorage_server::connection::{Connection, Options, Persistence};
use webstorage_server::dom_string::IllFormed;
use webstorage_server::frame::Framing;
use webstorage_server::methods;
use webstorage_server::origin::Origin;
use webstorage_server::output::Output;
use webstorage_server::server::Server;
use webstorage_server::sqlite::Durability;

const ITEMS: usize = 100_000;

/// A connection in this process: what a call costs without pipes.
struct Client {
    connection: Arc<Mutex<Connection>>,
    module: RpcModule<Mutex<Connection>>,
}

impl Client {
    fn new(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let server = Arc::new(Server {
            options: Options { origin: Origin::parse("http://localhost")?, quota: 1 << 30, ill_formed: IllFormed::Escape },
            persistence: Persistence::In(directory.to_owned()),
            busy_timeout: std::time::Duration::from_secs(10),
            durability: Durability::Normal,
            max_message_size: 1 << 30,
            log_values: false,
            test_methods: false,
            wire_log: None,
            on_process: Box::new(|_| {}),
            sheds: Mutex::default(),
        });
        let (_, writer) = rustix::pipe::pipe()?;
        let connection = Arc::new(Mutex::new(Connection::new(server, Output::new(writer, 1, None), 1)));
        connection.lock().replies.set_framing(Framing::Lines);
        Ok(Client { module: methods::module(&connection), connection })
    }

    /// Makes a call; the time it took and its reply.
    fn call(&self, method: &str, params: &str) -> (Duration, String) {
        let Some(MethodCallback::Sync(callback)) = self.module.method(method) else { panic!("there is no method {method}") };
        let start = Instant::now();
        callback(Id::Str("1".into()), Params::new(Some(params)), usize::MAX, Extensions::new());
        let took = start.elapsed();
        let mut connection = self.connection.lock();
        let reply = String::from_utf8_lossy(connection.replies.bytes()).into_owned();
        connection.replies.clear();
        assert!(!reply.contains("\"error\":"), "{method}: {}", &reply[..reply.len().min(300)]);
        (took, reply)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let client = Client::new(&directory.path().join("storage"))?;
    client.call("storage/open", "[false]");
    client.call("storage/open", "[true]");
    transact(&client, directory.path())?;
    for (storage, name) in [(1, "session"), (2, "persistent")] {
        client.call("storage/clear", &format!("[{storage}]"));
        import_and_export(&client, storage, name);
    }
    restore(&client);
    copy(&client);
    Ok(())
}

/// Transactions of 1,000 sets: new keys, in a persistent area, against the same with rusqlite alone.
fn transact(client: &Client, directory: &Path) -> Result<(), Box<dyn Error>> {
    let database = rusqlite::Connection::open(directory.join("raw.sqlite"))?;
    database.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
         CREATE TABLE item (id INTEGER PRIMARY KEY, area INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, UNIQUE (area, key));",
    )?;
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for round in 0..20 {
        let items: Vec<(String, String)> = (0..1000).map(|n| (format!("key {round} {n:014}"), format!("{n:0100}"))).collect();
        let start = Instant::now();
        database.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut insert = database.prepare_cached("INSERT INTO item (area, key, value) VALUES (1, ?1, ?2)")?;
            for (key, value) in &items {
                insert.execute([key.as_bytes(), value.as_bytes()])?;
            }
        }
        database.execute_batch("COMMIT")?;
        raw.push(start.elapsed());
        let set: Vec<String> = items.iter().map(|(key, value)| format!(r#"{{"key":"{key}","value":"{value}"}}"#)).collect();
        ours.push(client.call("storage/transact", &format!(r#"{{"storage":2,"set":[{}]}}"#, set.join(","))).0);
    }
    let (raw, ours) = (median(raw), median(ours));
    println!(
        "transact, 1,000 sets        {:>9.2} ms   {:.2} of raw rusqlite's speed ({:.2} ms)",
        milliseconds(ours),
        raw.as_secs_f64() / ours.as_secs_f64(),
        milliseconds(raw)
    );
    Ok(())
}

fn import_and_export(client: &Client, storage: u32, name: &str) {
    let items: Vec<String> = (0..ITEMS).map(|n| format!(r#"["key {n:016}","{n:0100}"]"#)).collect();
    let (took, _) = client.call("storage/import", &format!(r#"{{"storage":{storage},"state":[{}]}}"#, items.join(",")));
    rate(&format!("import, {name}"), took);
    let (took, reply) = client.call("storage/export", &format!(r#"{{"storages":[{storage}]}}"#));
    assert!(reply.contains(&format!("\"items\":{ITEMS}")), "everything is exported");
    rate(&format!("export, {name}"), took);
    let (mut took, mut after, mut first) = (Duration::ZERO, String::new(), None);
    for page in 1..=ITEMS / 1000 {
        took += client.call("storage/entries", &format!(r#"{{"storage":{storage},"limit":1000{after}}}"#)).0;
        after = format!(r#","after":"key {:016}""#, page * 1000 - 1);
        first.get_or_insert(took);
    }
    rate(&format!("list by pages, {name}"), took);
    println!("  its first page            {:>9.2} ms", milliseconds(first.unwrap_or_default()));
}

/// Back to 1,000 items of which few have changed.
fn restore(client: &Client) {
    for storage in [1, 2] {
        client.call("storage/clear", &format!("[{storage}]"));
        let items: Vec<String> = (0..1000).map(|n| format!(r#"["key {n:016}","{n:0100}"]"#)).collect();
        client.call("storage/import", &format!(r#"{{"storage":{storage},"state":[{}]}}"#, items.join(",")));
        client.call("storage/snapshot", &format!("[{storage}]"));
        let mut times = Vec::new();
        for round in 0..50 {
            client.call("storage/setItem", &format!(r#"[{storage},"new {round}","x"]"#));
            client.call("storage/removeItem", &format!(r#"[{storage},"key {round:016}"]"#));
            times.push(client.call("storage/restore", &format!("[{storage},{storage}]")).0);
        }
        let name = if storage == 1 { "session" } else { "persistent" };
        println!("{:<27} {:>9.2} ms", format!("restore of 1,000, {name}"), milliseconds(median(times)));
    }
}

/// A session area that begins as a copy of 10 MiB in 1,000 items.
fn copy(client: &Client) {
    for (storage, name) in [(1, "session"), (2, "persistent")] {
        client.call("storage/clear", &format!("[{storage}]"));
        let value = "x".repeat(5230);
        let items: Vec<String> = (0..1000).map(|n| format!(r#"["key {n:08}","{value}"]"#)).collect();
        client.call("storage/import", &format!(r#"{{"storage":{storage},"state":[{}]}}"#, items.join(",")));
        let (took, _) = client.call("storage/open", &format!(r#"{{"persistent":false,"copyOf":{storage}}}"#));
        println!("{:<27} {:>9.2} ms", format!("copy of 10 MiB, {name}"), milliseconds(took));
    }
}

fn rate(name: &str, took: Duration) {
    #[allow(clippy::cast_precision_loss, reason = "a hundred thousand is exact")]
    let rate = ITEMS as f64 / took.as_secs_f64();
    println!("{name:<27} {:>9.2} ms   {:.0} items/s", milliseconds(took), rate);
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
