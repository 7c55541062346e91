//! A client that keeps replies and notifications apart, and the storage directory that several share.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use webstorage_server::transcript::Framing;

use crate::peer::Peer;

/// A storage directory of one test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Folder(tempfile::tempdir().expect("the temporary directory is writable"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The file of the one bottle in it.
    pub fn bottle(&self) -> PathBuf {
        let files = std::fs::read_dir(self.path().join("bottles")).expect("a server has made it");
        let mut files =
            files.map(|file| file.expect("it can be read").path()).filter(|path| path.extension().is_some_and(|e| e == "sqlite"));
        files.next().expect("a server has made a bottle")
    }

    /// The bottle's database.
    pub fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.bottle()).expect("the file can be opened");
        database.busy_timeout(crate::peer::PATIENCE).expect("no statement runs");
        database
    }

    /// A number that a query of the bottle gives.
    pub fn number(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).expect("the query gives a number")
    }

    /// The lock files of listeners.
    pub fn lock_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path().join("listeners")).expect("a server has made it");
        files.map(|file| file.expect("it can be read").path()).collect()
    }
}

/// One server and its client, with the handle 1 on the persistent area.
pub struct Listener {
    pub peer: Peer,
    sent: u64,
    answered: u64,
    notifications: VecDeque<Value>,
}

/// What a `storage/event` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub sequence: u64,
    pub key: Option<String>,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl Listener {
    /// Starts a server and opens the area.
    pub fn start(folder: &Folder) -> Self {
        Self::of(Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.path().as_os_str()]))
    }

    /// Connects to the socket of a server that runs.
    pub fn connect(socket: &Path) -> Self {
        Self::of(Peer::connect(Framing::Lines, socket))
    }

    fn of(peer: Peer) -> Self {
        let mut listener = Listener { peer, sent: 0, answered: 0, notifications: VecDeque::new() };
        listener.call("storage/open", &json!([true]));
        listener
    }

    /// Starts a server and subscribes to every change.
    pub fn subscribed(folder: &Folder) -> Self {
        let mut listener = Self::start(folder);
        listener.call("storage/subscribe", &json!([1]));
        listener
    }

    /// A call as it goes over the wire.
    pub fn line(&mut self, method: &str, params: &Value) -> String {
        self.sent += 1;
        format!("{}\n", json!({"jsonrpc": "2.0", "id": self.sent, "method": method, "params": params}))
    }

    /// Makes a call that must succeed.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        let line = self.line(method, params);
        self.peer.send_raw(line.as_bytes());
        self.reply()
    }

    /// Sets items in one go, so that their calls share transactions, and waits for the replies.
    pub fn set_all<'a>(&mut self, items: impl IntoIterator<Item = (&'a str, String)>) {
        let lines: Vec<String> = items.into_iter().map(|(key, value)| self.line("setItem", &json!([1, key, value]))).collect();
        self.peer.send_raw(lines.concat().as_bytes());
        lines.iter().for_each(|_| drop(self.reply()));
    }

    /// Sets one item.
    pub fn set(&mut self, key: &str, value: &str) {
        self.call("setItem", &json!([1, key, value]));
    }

    /// The result of the oldest call that has none; what comes before it is kept.
    pub fn reply(&mut self) -> Value {
        loop {
            let mut message = self.receive();
            if message.get("method").is_some() {
                self.notifications.push_back(message);
                continue;
            }
            self.answered += 1;
            assert_eq!(message["id"], json!(self.answered), "{message}");
            assert!(message.get("error").is_none(), "{message}");
            return message["result"].take();
        }
    }

    /// The next notification.
    pub fn notification(&mut self) -> Value {
        self.notifications.pop_front().unwrap_or_else(|| self.receive())
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        Event::of(&self.notification())
    }

    /// The notifications that have come while replies were waited for.
    pub fn kept(&mut self) -> usize {
        self.notifications.len()
    }

    /// The next message, whatever it is.
    pub fn receive(&mut self) -> Value {
        let message = self.peer.receive().expect("the server goes on");
        serde_json::from_str(&message).expect("messages are JSON")
    }

    /// The area's items.
    pub fn items(&mut self) -> BTreeMap<String, String> {
        let entries = self.call("storage/entries", &json!([1]));
        let text = |entry: &Value, member| entry[member].as_str().expect("it is a string").to_owned();
        entries.as_array().expect("entries are an array").iter().map(|entry| (text(entry, "key"), text(entry, "value"))).collect()
    }

    /// The number of the newest change.
    pub fn sequence(&mut self) -> u64 {
        let subscribed = self.call("storage/subscribe", &json!({"storage": 1, "keys": []}));
        self.call("storage/unsubscribe", &json!([subscribed["subscription"]]));
        subscribed["sequence"].as_u64().expect("it is a number")
    }

    /// Ends the input and expects the server to end well.
    pub fn end(mut self) {
        self.peer.close();
        while self.peer.receive().is_some() {}
        assert_eq!(self.peer.wait().code(), Some(0));
    }
}

impl Event {
    fn of(message: &Value) -> Self {
        assert_eq!(message["method"], "storage/event", "{message}");
        let params = &message["params"];
        let text = |member: &str| params[member].as_str().map(str::to_owned);
        Event {
            sequence: params["sequence"].as_u64().expect("every event has one"),
            key: text("key"),
            old: text("oldValue"),
            new: text("newValue"),
        }
    }

    /// Does to a map what the event says was done to the area. What was there before must be what it says.
    pub fn apply(&self, items: &mut BTreeMap<String, String>) {
        let before = match (&self.key, &self.new) {
            (Some(key), Some(new)) => items.insert(key.clone(), new.clone()),
            (Some(key), None) => items.remove(key),
            (None, _) => {
                items.clear();
                None
            }
        };
        assert_eq!(before, self.old, "{self:?}");
    }
}
