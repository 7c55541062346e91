//! One process's server: what its connections share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::connection::{Options, Persistence};
use crate::error::Result;
use crate::shed::Shed;
use crate::sqlite::Durability;
use crate::wire_log::WireLog;

/// What all connections of this process share.
pub struct Server {
    /// The defaults of every connection.
    pub options: Options,
    /// Where persistent areas are, unless a connection asks for another place.
    pub persistence: Persistence,
    /// For how long a call waits for others.
    pub busy_timeout: Duration,
    /// How safe writes are from a loss of power.
    pub durability: Durability,
    /// The largest accepted message, in bytes.
    pub max_message_size: usize,
    /// Whether keys and values may be logged.
    pub log_values: bool,
    /// Whether tests may make calls fail and more.
    pub test_methods: bool,
    /// Where every message is recorded.
    pub wire_log: Option<Arc<WireLog>>,
    /// Called with the id of the process whose end is to end the server.
    pub on_process: Box<dyn Fn(i32) + Send + Sync>,
    /// The sheds that connections have opened.
    pub sheds: Mutex<HashMap<PathBuf, Arc<Shed>>>,
}

impl Server {
    /// The shed in a directory, shared by the connections of this process.
    ///
    /// # Errors
    /// Those of [`Shed::new`].
    pub fn shed(&self, dir: &Path) -> Result<Arc<Shed>> {
        let mut sheds = self.sheds.lock();
        if let Some(shed) = sheds.get(dir) {
            return Ok(Arc::clone(shed));
        }
        let shed = Arc::new(Shed::new(dir, self.durability)?);
        // Two names of one directory are one shed.
        if let Some(same) = sheds.values().find(|other| other.dir() == shed.dir()) {
            let same = Arc::clone(same);
            sheds.insert(dir.to_owned(), Arc::clone(&same));
            return Ok(same);
        }
        sheds.insert(dir.to_owned(), Arc::clone(&shed));
        Ok(shed)
    }

    /// Ends the server when that process has ended.
    pub fn watch_process(&self, process: i32) {
        (self.on_process)(process);
    }
}
