//! A wait as a value: how long a caller waits for others, and whether what it waits for is still wanted.
//!
//! Whatever can wait takes one, from the call down to the file locks: a lock of another process, a turn among the
//! connections of this one, SQLite's busy handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::origin::Origin;

/// The longest time between two looks whether the wait is still wanted.
const INTERVAL: Duration = Duration::from_millis(5);

/// How long a caller waits and whether it still wants to. Clones are the same wait.
#[derive(Clone)]
pub struct Wait(Arc<State>);

struct State {
    limit: Duration,
    /// What the current call has waited, in nanoseconds. Its work in between does not count.
    waited: AtomicU64,
    is_wanted: Box<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Wait of {:?}", self.0.limit)
    }
}

impl Wait {
    /// A wait that lasts at most `limit` in all, and no longer than `is_wanted` says yes. That is asked again and
    /// again while the caller waits, and never else.
    #[must_use]
    pub fn new(limit: Duration, is_wanted: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Wait(Arc::new(State { limit, waited: AtomicU64::new(0), is_wanted: Box::new(is_wanted) }))
    }

    /// A wait that lasts at most `limit` in all, and that nobody can cancel.
    #[must_use]
    pub fn at_most(limit: Duration) -> Self {
        Wait::new(limit, || true)
    }

    /// The next call begins, which may wait for the whole time again.
    pub fn begin(&self) {
        self.0.waited.store(0, Ordering::Relaxed);
    }

    /// How long it may last in all.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.0.limit
    }

    /// Whether both are the same wait.
    #[must_use]
    pub fn is(&self, other: &Wait) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the caller still wants what it waits for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        (self.0.is_wanted)()
    }

    /// Sleeps for `time`, or for what is left. `false` at once if nothing is left or the wait is no longer wanted.
    #[must_use]
    pub fn pause(&self, time: Duration) -> bool {
        let left = self.left();
        if left.is_zero() || !self.is_wanted() {
            return false;
        }
        self.spend(|| std::thread::sleep(time.min(left)));
        true
    }

    /// Tries until `attempt` gives something; `None` when the wait is over. Each attempt is told for how long it may
    /// wait itself.
    pub fn until<T>(&self, mut attempt: impl FnMut(Duration) -> Option<T>) -> Option<T> {
        loop {
            let left = self.left();
            let got = self.spend(|| attempt(left.min(INTERVAL)));
            if got.is_some() || left.is_zero() || !self.is_wanted() {
                return got;
            }
        }
    }

    /// Why the wait is over: it is no longer wanted, or lasted too long for the bottle of `origin`.
    #[must_use]
    pub fn error(&self, origin: &Origin) -> Error {
        if !self.is_wanted() {
            return Error::Cancelled;
        }
        let milliseconds = u64::try_from(self.0.limit.as_millis()).unwrap_or(u64::MAX);
        Error::Timeout { origin: origin.to_string(), milliseconds }
    }

    fn left(&self) -> Duration {
        self.0.limit.saturating_sub(Duration::from_nanos(self.0.waited.load(Ordering::Relaxed)))
    }

    fn spend<T>(&self, waiting: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = waiting();
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.waited.fetch_add(nanoseconds, Ordering::Relaxed);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn several_waits_of_a_call_share_its_time() {
        let wait = Wait::at_most(Duration::from_millis(4));
        assert_eq!(wait.until(|_| None::<()>), None);
        assert!(!wait.pause(Duration::from_millis(1)), "nothing is left for a second wait");
        assert_eq!(wait.until(Some), Some(Duration::ZERO), "what need not wait still gets its attempt");
        wait.begin();
        assert!(wait.pause(Duration::from_millis(1)), "the next call has all of it again");
    }

    #[test]
    fn a_wait_ends_when_it_is_no_longer_wanted() {
        let looks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&looks);
        let wait = Wait::new(Duration::MAX, move || counted.fetch_add(1, Ordering::Relaxed) < 3);
        while wait.pause(Duration::ZERO) {}
        assert_eq!(looks.load(Ordering::Relaxed), 4);
        assert!(matches!(wait.error(&Origin::parse("null").expect("this is an origin")), Error::Cancelled));
    }
}
