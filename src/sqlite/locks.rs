//! Waiting for the locks of other processes.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cancellation;

/// Sets for how long a statement waits for another process's lock. It holds for the whole process.
pub fn set_busy_timeout(timeout: Duration) {
    BUSY_TIMEOUT_MS.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// For how long a statement waits for another process's lock.
#[must_use]
pub fn busy_timeout() -> Duration {
    Duration::from_millis(BUSY_TIMEOUT_MS.load(Ordering::Relaxed))
}

static BUSY_TIMEOUT_MS: AtomicU64 = AtomicU64::new(10_000);

/// Waits a short random time for a lock. SQLite's own busy timeout backs off so far that processes starve
/// each other; sleeping for about as long as one transaction takes is fair and wastes little.
pub(super) fn wait_for_lock(attempts: i32) -> bool {
    thread_local! {
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if attempts == 0 {
        SINCE.set(Some(now));
    }
    let waited = SINCE.get().map_or(Duration::ZERO, |since| now - since);
    if waited >= busy_timeout() || cancellation::is_requested() {
        return false;
    }
    std::thread::sleep(Duration::from_micros(fastrand::u64(20..500)));
    true
}

/// Whether another connection's lock was in the way.
#[must_use]
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}
