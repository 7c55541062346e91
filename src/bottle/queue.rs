//! The queue of the connections of this process for a bottle's file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, FairMutex, Mutex};

use super::{BottleFile, BottleGuard};
use crate::wait::Wait;

/// Those who wait for the file, in the order in which they came. A wait that looks up now and then whether it is
/// still wanted keeps its place by that.
#[derive(Debug, Default)]
pub(super) struct Queue {
    length: AtomicUsize,
    line: Mutex<Line>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    last: u64,
    tickets: VecDeque<u64>,
}

/// A place in the queue, which is left when this is dropped.
struct Ticket<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Queue {
    /// Locks the file when it is the caller's turn; `None` if the wait is over before.
    pub(super) fn lock(&self, file: &Arc<FairMutex<BottleFile>>, wait: &Wait) -> Option<BottleGuard> {
        if self.length.load(Ordering::Relaxed) == 0
            && let Some(file) = file.try_lock_arc()
        {
            return Some(file);
        }
        let ticket = self.enter();
        wait.until(|longest| if ticket.is_first(longest) { file.try_lock_arc_for(longest) } else { None })
    }

    fn enter(&self) -> Ticket<'_> {
        let mut line = self.line.lock();
        line.last += 1;
        let number = line.last;
        line.tickets.push_back(number);
        self.length.store(line.tickets.len(), Ordering::Relaxed);
        Ticket { queue: self, number }
    }
}

impl Ticket<'_> {
    /// Whether everybody before this one has left, perhaps after waiting for that.
    fn is_first(&self, longest: Duration) -> bool {
        let mut line = self.queue.line.lock();
        if line.tickets.front() != Some(&self.number) {
            self.queue.moved.wait_for(&mut line, longest);
        }
        line.tickets.front() == Some(&self.number)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line.lock();
        line.tickets.retain(|number| *number != self.number);
        self.queue.length.store(line.tickets.len(), Ordering::Relaxed);
        self.queue.moved.notify_all();
    }
}
