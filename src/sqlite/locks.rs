//! Waiting for the locks of other processes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Database;
use crate::wait::Wait;

/// How the statements of a database connection wait now. Its busy handler and whoever uses the connection share it.
pub(super) type Waiting = Arc<Mutex<Wait>>;

impl Database {
    /// Lets statements wait for the locks of others as `wait` says, until another wait is set.
    pub fn wait_as(&self, wait: &Wait) {
        let mut current = self.waiting.lock();
        if !current.is(wait) {
            *current = wait.clone();
        }
    }

    /// How statements wait now.
    #[must_use]
    pub fn wait(&self) -> Wait {
        self.waiting.lock().clone()
    }

    /// Gives the connection its busy handler.
    pub(super) fn handle_busy(&mut self, wait: &Wait) -> rusqlite::Result<()> {
        self.wait_as(wait);
        let waiting = Arc::clone(&self.waiting);
        self.connection.busy_handler(Some(move |_attempts| {
            let wait = waiting.lock().clone();
            wait_for_lock(&wait)
        }))
    }
}

/// Waits a short random time for a lock. SQLite's own busy timeout backs off so far that processes starve
/// each other; sleeping for about as long as one transaction takes is fair and wastes little.
pub(super) fn wait_for_lock(wait: &Wait) -> bool {
    wait.pause(Duration::from_micros(fastrand::u64(20..500)))
}

/// Whether another connection's lock was in the way.
#[must_use]
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}
