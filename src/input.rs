//! The input of one connection: blocking reads, and for a synchronous caller a short wait that does not
//! sleep.
//!
//! On an idle machine waking a sleeping process costs 25 to 65 µs, ten times what a call costs. A caller
//! that sends one call after the other is waiting for us, so after a reply its next call is near: looking
//! for it for up to 50 µs before going to sleep saves the wake-up. Where that does not help, because the
//! caller needs the same core or thinks for longer, the wait is tried less and less often.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// For how long to look for input before sleeping.
const SPIN: Duration = Duration::from_micros(50);

/// The most reads without looking, after looking has failed often.
const MAX_PAUSE: u32 = 4096;

/// Bytes that may be read while a call waits.
const MAX_AHEAD: usize = 1 << 20;

/// Where the bytes of one connection come from.
#[derive(Debug)]
pub struct Input {
    fd: OwnedFd,
    /// Reads that are still to be done without looking first.
    pause: u32,
    /// Reads to be done without looking after the next failure.
    next_pause: u32,
    /// What was read while a call waited.
    ahead: Vec<u8>,
    /// Whether the end of the input was read while a call waited.
    ended: bool,
    /// Whether the system can read without waiting from this kind of file.
    no_wait: bool,
}

impl Input {
    /// Reads from `fd`.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Input { fd, pause: 1, next_pause: 1, ahead: Vec::new(), ended: false, no_wait: cfg!(target_os = "linux") }
    }

    /// Reads what is there, and waits for it if nothing is; 0 at the end of the input. `answered` says that a
    /// reply was just sent, so that the next call may be near.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, buffer: &mut [u8], answered: bool) -> std::io::Result<usize> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            return Ok(count);
        }
        if self.ended {
            return Ok(0);
        }
        if answered {
            if self.pause == 0 {
                if let Some(count) = self.look(buffer) {
                    return Ok(count);
                }
            } else {
                self.pause -= 1;
            }
        }
        loop {
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    // A peer has made the shared file description non-blocking.
                    let mut waiting = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
                    rustix::event::poll(&mut waiting, None)?;
                }
                // A socket whose peer has died ends as a pipe does.
                Err(rustix::io::Errno::CONNRESET) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what is there without waiting, tells `f`, and keeps it for [`Input::read`]. Returns whether anything
    /// was there. Reads no more than a bound, so that a client which goes on sending is made to wait.
    pub fn read_ahead(&mut self, f: &mut dyn FnMut(&[u8])) -> bool {
        let kept = self.ahead.len();
        let mut buffer = [0; 16 << 10];
        while !self.ended && self.ahead.len() < MAX_AHEAD && self.is_ready() {
            match rustix::io::read(&self.fd, &mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.ahead.extend_from_slice(&buffer[..count]),
                // What is wrong with the input is seen when it is read in its turn.
                Err(_) => break,
            }
        }
        f(&self.ahead[kept..]);
        self.ahead.len() > kept
    }

    /// What was read ahead.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    fn is_ready(&self) -> bool {
        let mut ready = [rustix::event::PollFd::new(&self.fd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// Reads if a read need not wait.
    fn read_if_ready(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
        if !self.is_ready() {
            return Err(rustix::io::Errno::AGAIN);
        }
        rustix::io::read(&self.fd, buffer)
    }

    /// Looks for input for a short time; `None` if none came.
    fn look(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut until = None;
        loop {
            let read = if self.no_wait { read_no_wait(&self.fd, buffer) } else { self.read_if_ready(buffer) };
            match read {
                Ok(count) => {
                    // What was there at once says nothing about waiting for it. A caller on the same core comes by now and
                    // then while this waits, so one success does not undo what many failures have taught.
                    if until.is_some() {
                        self.next_pause = (self.next_pause / 2).max(1);
                    }
                    return Some(count);
                }
                Err(rustix::io::Errno::AGAIN) if Instant::now() < *until.get_or_insert_with(|| Instant::now() + SPIN) => {
                    std::hint::spin_loop();
                }
                Err(rustix::io::Errno::AGAIN) => break,
                // Linux cannot for a named pipe.
                Err(_) if self.no_wait => self.no_wait = false,
                Err(_) => {
                    self.next_pause = u32::MAX;
                    break;
                }
            }
        }
        self.pause = self.next_pause;
        self.next_pause = self.next_pause.saturating_mul(2).min(MAX_PAUSE.max(self.next_pause));
        None
    }
}

#[cfg(target_os = "linux")]
fn read_no_wait(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
    rustix::io::preadv2(fd, &mut [std::io::IoSliceMut::new(buffer)], u64::MAX, rustix::io::ReadWriteFlags::NOWAIT)
}

#[cfg(not(target_os = "linux"))]
fn read_no_wait(_: &OwnedFd, _: &mut [u8]) -> Result<usize, rustix::io::Errno> {
    Err(rustix::io::Errno::OPNOTSUPP)
}
