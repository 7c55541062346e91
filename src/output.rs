//! The output of one connection: whole messages out, without ever making the dispatcher wait for a slow
//! reader until a bound is reached.
//!
//! A client may write many calls before it reads the first reply. A server that waits in `write` meanwhile
//! no longer reads, and both wait for ever. So what the reader does not take at once goes to a backlog that
//! a thread of its own writes out.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::frame::{Decoder, Framing};
use crate::wire_log::{Direction, WireLog};

/// Bytes that may wait for a slow reader before the dispatcher waits with them, and so stops reading calls.
const MAX_BACKLOG: usize = 16 << 20;

/// Bytes that may wait for a slow reader before notifications are dropped, if since the reader last took something as
/// many bytes of notifications have come, the largest aside: a reader at work is not punished for one large message.
const MAX_NOTIFICATION_BACKLOG: usize = 1 << 20;

/// Bytes the writer thread hands to the system at a time.
const WRITE_SIZE: usize = 256 << 10;

/// Bytes of the writer thread's stack: it calls nothing deep, and address space can be limited.
const WRITER_STACK: usize = 256 << 10;

/// Bytes that the reader has taken when it counts as reading.
const TAKEN_SIZE: usize = 64 << 10;

/// For how long a reader may pause before what it has not read goes to the backlog.
const READER_TIME: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// For how long the dispatcher writes to a reader that keeps reading before the rest goes to the backlog.
const MAX_INLINE_TIME: Duration = Duration::from_millis(20);

/// Where the messages of one connection go. Clones write to the same place.
#[derive(Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

struct Shared {
    fd: OwnedFd,
    connection: u64,
    wire_log: Option<Arc<WireLog>>,
    state: Mutex<State>,
    /// How often the reader has taken something from the backlog.
    taken: AtomicU64,
    changed: Condvar,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent facts, not the states of one thing")]
struct State {
    backlog: std::collections::VecDeque<u8>,
    /// For each subscription whose notifications were dropped, the message that says so.
    notices: std::collections::BTreeMap<u64, (Framing, Vec<u8>)>,
    /// Whether the writer thread is between taking bytes and having written them.
    writing: bool,
    has_writer: bool,
    no_wait: NoWait,
    failed: Option<std::io::ErrorKind>,
    dropped: bool,
    /// The notifications since the reader last took something.
    untaken: Untaken,
}

/// Notifications that have come since the reader last took something.
#[derive(Clone, Copy, Default)]
struct Untaken {
    /// What [`Shared::taken`] was then.
    taken: u64,
    bytes: usize,
    largest: usize,
}

/// How to write what fits now without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NoWait {
    /// By asking the system for it with each write.
    #[default]
    Asked,
    /// By looking first whether there is room: what a pipe or a socket is ready for, it takes at once if it is
    /// not too long.
    IfReady,
    /// Not at all for this kind of file.
    Impossible,
}

/// The reader has gone away, or the file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(pub std::io::ErrorKind);

impl std::fmt::Debug for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Output of connection {}", self.shared.connection)
    }
}

impl Output {
    /// Writes to `fd`, the output of connection number `connection`.
    #[must_use]
    pub fn new(fd: OwnedFd, connection: u64, wire_log: Option<Arc<WireLog>>) -> Self {
        Output {
            shared: Arc::new(Shared {
                fd,
                connection,
                wire_log,
                state: Mutex::default(),
                taken: AtomicU64::new(0),
                changed: Condvar::new(),
            }),
        }
    }

    /// Writes whole messages. Waits only while more than the bound of bytes wait for the reader.
    ///
    /// # Errors
    /// [`Closed`] if nothing can be written any more.
    pub fn send(&self, framing: Framing, messages: &[u8]) -> Result<(), Closed> {
        self.log(framing, messages);
        let mut state = self.shared.state.lock();
        while state.backlog.len() > MAX_BACKLOG && state.failed.is_none() {
            self.shared.changed.wait(&mut state);
        }
        self.write(&mut state, messages, MAX_INLINE_TIME)
    }

    /// Writes notifications of the subscription `key` without ever waiting. If too much waits for the reader
    /// already they are dropped, and what `notice` writes goes out in their place once the reader has caught up.
    ///
    /// # Errors
    /// [`Closed`] if nothing can be written any more.
    pub fn try_send(&self, framing: Framing, messages: &[u8], key: u64, notice: impl FnOnce() -> Vec<u8>) -> Result<(), Closed> {
        let mut state = self.shared.state.lock();
        let taken = self.shared.taken.load(Ordering::Relaxed);
        if state.untaken.taken != taken || state.backlog.is_empty() {
            state.untaken = Untaken { taken, ..Untaken::default() };
        }
        let Untaken { bytes, largest, .. } = state.untaken;
        let is_unread = state.backlog.len() > MAX_NOTIFICATION_BACKLOG && bytes - largest > MAX_NOTIFICATION_BACKLOG;
        // Whatever the reader does not take goes to the backlog, so there must be memory for all of it beforehand.
        let no_memory = !crate::memory::is_left(messages.len()) || state.backlog.try_reserve(messages.len()).is_err();
        if is_unread || no_memory || state.backlog.len() > MAX_BACKLOG || state.notices.contains_key(&key) {
            state.notices.insert(key, (framing, notice()));
            return state.failed.map_or(Ok(()), |kind| Err(Closed(kind)));
        }
        state.untaken.bytes += messages.len();
        state.untaken.largest = largest.max(messages.len());
        self.log(framing, messages);
        // Whoever has made the change waits for this, so a reader at work gets no time of theirs.
        self.write(&mut state, messages, Duration::ZERO)
    }

    /// Forgets what the subscription `key` has missed.
    pub fn forget_notice(&self, key: u64) {
        self.shared.state.lock().notices.remove(&key);
    }

    /// Waits until everything was written, at most until `deadline` if there is one.
    pub fn drain(&self, deadline: Option<Instant>) {
        let mut state = self.shared.state.lock();
        while (!state.backlog.is_empty() || state.writing) && state.failed.is_none() {
            let limit = Duration::from_secs(1);
            let wait = deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()).min(limit));
            if wait.is_zero() {
                return;
            }
            self.shared.changed.wait_for(&mut state, wait);
        }
    }

    /// Waits until everything was written, as long as the reader takes something within each `patience`. After that
    /// what is left is given up, and [`Output::failure`] says so.
    pub fn drain_while_read(&self, patience: Duration) {
        let mut state = self.shared.state.lock();
        let (mut taken, mut since) = (self.shared.taken.load(Ordering::Relaxed), Instant::now());
        while (!state.backlog.is_empty() || state.writing) && state.failed.is_none() {
            let now = self.shared.taken.load(Ordering::Relaxed);
            if now != taken {
                (taken, since) = (now, Instant::now());
            } else if since.elapsed() >= patience {
                state.failed = Some(std::io::ErrorKind::TimedOut);
                return;
            }
            self.shared.changed.wait_for(&mut state, patience.min(Duration::from_secs(1)));
        }
    }

    /// Why nothing can be written any more, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<std::io::ErrorKind> {
        self.shared.state.lock().failed
    }

    /// Ends the writer thread once it has nothing left to write.
    pub fn finish(&self) {
        self.shared.state.lock().dropped = true;
        self.shared.changed.notify_all();
    }

    /// Writes what the reader takes within the time `inline`, and leaves the rest to the backlog.
    fn write(&self, state: &mut MutexGuard<'_, State>, mut messages: &[u8], inline: Duration) -> Result<(), Closed> {
        if let Some(kind) = state.failed {
            return Err(Closed(kind));
        }
        if state.backlog.is_empty() && !state.writing {
            let mut until = None;
            let mut waited = false;
            while !messages.is_empty() && state.no_wait != NoWait::Impossible {
                let written = match state.no_wait {
                    NoWait::Asked => write_no_wait(&self.shared.fd, messages),
                    _ => write_if_ready(&self.shared.fd, messages),
                };
                match written {
                    Ok(written) => {
                        messages = &messages[written..];
                        waited = false;
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    // A reader that is at work takes a large reply sooner than a thread could be handed it.
                    Err(rustix::io::Errno::AGAIN)
                        if !waited
                            && Instant::now() < *until.get_or_insert_with(|| Instant::now() + inline)
                            && is_ready_within(&self.shared.fd, READER_TIME) =>
                    {
                        waited = true;
                    }
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {
                        // Linux cannot for a named pipe, other systems for no file.
                        let buffered = state.no_wait == NoWait::Asked && is_pipe_or_socket(&self.shared.fd);
                        state.no_wait = if buffered { NoWait::IfReady } else { NoWait::Impossible };
                    }
                    Err(error) => {
                        let kind = std::io::Error::from(error).kind();
                        state.failed = Some(kind);
                        return Err(Closed(kind));
                    }
                }
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        while !crate::memory::is_left(messages.len()) || state.backlog.try_reserve(messages.len()).is_err() {
            if let Some(kind) = state.failed {
                return Err(Closed(kind));
            }
            if state.backlog.is_empty() && !state.writing {
                return self.write_waiting(state, messages);
            }
            self.shared.changed.wait(state);
        }
        state.backlog.extend(messages);
        if state.has_writer {
            self.shared.changed.notify_all();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        match std::thread::Builder::new().name("output".to_owned()).stack_size(WRITER_STACK).spawn(move || shared.write_backlog()) {
            Ok(_) => state.has_writer = true,
            Err(error) => {
                state.failed = Some(error.kind());
                return Err(Closed(error.kind()));
            }
        }
        Ok(())
    }

    /// Writes all, however long the reader takes, because there is no memory to keep it in.
    #[cold]
    fn write_waiting(&self, state: &mut State, messages: &[u8]) -> Result<(), Closed> {
        write_all(&self.shared.fd, messages).map_err(|error| {
            let kind = std::io::Error::from(error).kind();
            state.failed = Some(kind);
            Closed(kind)
        })
    }

    fn log(&self, framing: Framing, messages: &[u8]) {
        self.shared.log(framing, messages);
    }
}

impl Shared {
    fn log(&self, framing: Framing, messages: &[u8]) {
        let Some(log) = &self.wire_log else { return };
        let mut decoder = Decoder::new(usize::MAX, true);
        for chunk in messages.chunks(64 << 10) {
            decoder.space()[..chunk.len()].copy_from_slice(chunk);
            decoder.filled(chunk.len());
            while let Ok(Some(frame)) = decoder.next_frame() {
                log.record(Direction::Out, self.connection, decoder.body(frame));
            }
        }
        debug_assert!(decoder.framing().is_none_or(|used| used == framing), "replies use the connection's framing");
    }

    fn write_backlog(&self) {
        let mut chunk = Vec::new();
        let mut state = self.state.lock();
        loop {
            while state.backlog.is_empty() {
                if state.dropped {
                    return;
                }
                self.changed.wait(&mut state);
            }
            chunk.clear();
            let count = state.backlog.len().min(WRITE_SIZE);
            // Copying slices is twenty times as fast as draining byte by byte.
            let (front, back) = state.backlog.as_slices();
            let from_front = count.min(front.len());
            chunk.extend_from_slice(&front[..from_front]);
            chunk.extend_from_slice(&back[..count - from_front]);
            state.backlog.drain(..count);
            if state.backlog.is_empty() {
                state.backlog.shrink_to(WRITE_SIZE);
            }
            state.writing = true;
            drop(state);
            let written = chunk.chunks(TAKEN_SIZE).try_for_each(|part| {
                write_all(&self.fd, part)?;
                self.taken.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            state = self.state.lock();
            state.writing = false;
            if state.backlog.is_empty() {
                for (framing, notice) in std::mem::take(&mut state.notices).into_values() {
                    self.log(framing, &notice);
                    state.backlog.extend(notice);
                }
            }
            if let Err::<(), rustix::io::Errno>(error) = written {
                state.failed = Some(std::io::Error::from(error).kind());
                state.backlog.clear();
            }
            self.changed.notify_all();
            if state.failed.is_some() {
                return;
            }
        }
    }
}

fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<(), rustix::io::Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                // A peer has made the shared file description non-blocking.
                let mut waiting = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::OUT)];
                rustix::event::poll(&mut waiting, None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_ready_within(fd: &OwnedFd, time: rustix::event::Timespec) -> bool {
    let mut ready = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::OUT)];
    rustix::event::poll(&mut ready, Some(&time)).is_ok_and(|ready| ready > 0)
}

/// Writes what fits now, without waiting and without making the file description non-blocking, which the
/// process at its other end would notice.
#[cfg(target_os = "linux")]
fn write_no_wait(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, rustix::io::Errno> {
    rustix::io::pwritev2(fd, &[std::io::IoSlice::new(bytes)], u64::MAX, rustix::io::ReadWriteFlags::NOWAIT)
}

#[cfg(not(target_os = "linux"))]
fn write_no_wait(_: &OwnedFd, _: &[u8]) -> Result<usize, rustix::io::Errno> {
    Err(rustix::io::Errno::OPNOTSUPP)
}

/// A write of up to `PIPE_BUF` bytes to a pipe or a socket does not wait if that is ready for writing.
fn write_if_ready(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, rustix::io::Errno> {
    const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };
    if !is_ready_within(fd, rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }) {
        return Err(rustix::io::Errno::AGAIN);
    }
    rustix::io::write(fd, &bytes[..bytes.len().min(PIPE_BUF)])
}

fn is_pipe_or_socket(fd: &OwnedFd) -> bool {
    use rustix::fs::FileType;
    rustix::fs::fstat(fd).is_ok_and(|file| matches!(FileType::from_raw_mode(file.st_mode), FileType::Fifo | FileType::Socket))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// More than a pipe holds.
    const MESSAGES: usize = 4 << 20;

    fn full() -> (std::io::PipeReader, Output) {
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        let output = Output::new(writer.into(), 1, None);
        output.send(Framing::Lines, &vec![b'x'; MESSAGES]).expect("the reader is there");
        (reader, output)
    }

    #[test]
    fn a_reader_that_takes_nothing_is_given_up() {
        let (reader, output) = full();
        output.drain_while_read(Duration::from_millis(20));
        assert_eq!(output.failure(), Some(std::io::ErrorKind::TimedOut));
        drop(reader);
    }

    #[test]
    fn a_reader_that_takes_something_is_waited_for() {
        let (mut reader, output) = full();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all.len())
        });
        output.drain_while_read(Duration::from_secs(30));
        assert_eq!(output.failure(), None);
        output.finish();
        drop(output);
        assert_eq!(reading.join().expect("the reader does not panic").expect("a pipe can be read"), MESSAGES);
    }
}
