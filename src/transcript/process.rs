//! A spawned server process and the connections to it, every wait of which has a limit.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message a line.
    Lines,
    /// `Content-Length` headers, as LSP has it.
    Headers,
}

impl Framing {
    /// The bytes of a message with this body.
    #[must_use]
    pub fn encode(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Lines => [body, b"\n"].concat(),
            Self::Headers => {
                let header = format!("Content-Length: {}\r\n\r\n", body.len());
                [header.as_bytes(), body].concat()
            }
        }
    }
}

/// What a connection brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The body of a message.
    Message(Vec<u8>),
    /// The server has closed its side, at the end of a message.
    End,
}

/// Why nothing usable came.
#[derive(Debug)]
pub enum Silence {
    /// Nothing, or less than a whole message, came in time; these bytes did.
    Late(Vec<u8>),
    /// These bytes are no message.
    Garbled(Vec<u8>),
}

impl fmt::Display for Silence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, bytes) = match self {
            Self::Late(bytes) if bytes.is_empty() => return out.write_str("nothing came in time"),
            Self::Late(bytes) => ("only a part of a message came in time", bytes),
            Self::Garbled(bytes) => ("bytes that are no message", bytes),
        };
        let shown = bytes.len().min(400);
        write!(out, "{what}: \"{}\"", bytes[..shown].escape_ascii())
    }
}

impl std::error::Error for Silence {}

/// One connection to a server. Writing never blocks its owner: a thread of its own writes, so a
/// server that stops reading is met with a missed deadline and not with a hang.
#[derive(Debug)]
pub struct Connection {
    framing: Framing,
    outgoing: Option<Sender<Vec<u8>>>,
    incoming: Receiver<Vec<u8>>,
    /// What has come and was not claimed yet.
    buffer: Vec<u8>,
    /// How much of the buffer was searched for the end of a line.
    searched: usize,
}

impl Connection {
    /// A connection over two ends of pipes or sockets. `hang_up` runs after the last write, for
    /// transports where dropping the writer does not end the server's input.
    pub fn new<R, W>(framing: Framing, mut input: R, output: W, hang_up: fn(W)) -> Self
    where
        R: Read + Send + 'static,
        W: Write + Send + 'static,
    {
        let (outgoing, to_write) = channel();
        let (read, incoming) = channel();
        thread::spawn(move || write_all(output, &to_write, hang_up));
        thread::spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            loop {
                match input.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(length) if read.send(chunk[..length].to_vec()).is_ok() => {}
                    Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                    // A reset connection ends the stream just as a closed one does.
                    Ok(_) | Err(_) => return,
                }
            }
        });
        Self { framing, outgoing: Some(outgoing), incoming, buffer: Vec::new(), searched: 0 }
    }

    /// Sends a message with this body.
    pub fn send(&self, body: &[u8]) {
        self.send_raw(self.framing.encode(body));
    }

    /// Sends bytes as they are, in one write if the transport takes them so. What the server no
    /// longer reads is lost, as it is for every client; what it says then is what counts.
    pub fn send_raw(&self, bytes: Vec<u8>) {
        if let Some(outgoing) = &self.outgoing {
            let _unread = outgoing.send(bytes);
        }
    }

    /// Ends the server's input once everything sent before has been written.
    pub fn close(&mut self) {
        self.outgoing = None;
    }

    /// Whether the server's input is still open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Waits for the next message, or for the end of the stream.
    ///
    /// # Errors
    ///
    /// If neither came in time, or if what came is no frame.
    pub fn receive(&mut self, patience: Duration) -> Result<Incoming, Silence> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(body) = self.take_frame()? {
                return Ok(Incoming::Message(body));
            }
            match self.pull(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Silence::Late(std::mem::take(&mut self.buffer)));
                }
                Err(RecvTimeoutError::Disconnected) if self.buffer.is_empty() => {
                    return Ok(Incoming::End);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Silence::Garbled(std::mem::take(&mut self.buffer)));
                }
            }
        }
    }

    /// Waits for so many bytes; fewer come back if the stream ended or the time was up.
    pub fn receive_raw(&mut self, length: usize, patience: Duration) -> Vec<u8> {
        let deadline = Instant::now() + patience;
        while self.buffer.len() < length && self.pull(deadline).is_ok() {}
        let length = length.min(self.buffer.len());
        self.claim(length)
    }

    fn pull(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let bytes = self.incoming.recv_timeout(left)?;
        self.buffer.extend(bytes);
        Ok(())
    }

    fn claim(&mut self, length: usize) -> Vec<u8> {
        self.searched = 0;
        self.buffer.drain(..length).collect()
    }

    /// Takes a whole frame out of the buffer, if one is there. Frames are read strictly: the
    /// server writes only one form of them.
    fn take_frame(&mut self) -> Result<Option<Vec<u8>>, Silence> {
        if self.framing == Framing::Lines {
            let new = &self.buffer[self.searched..];
            let Some(end) = new.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return Ok(None);
            };
            let mut line = self.claim(self.searched + end + 1);
            line.pop();
            return Ok(Some(line));
        }
        let Some(blank) = find(&self.buffer, b"\r\n\r\n") else {
            return Ok(None);
        };
        let length = self.buffer[..blank]
            .strip_prefix(b"Content-Length: ")
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        let Some(length) = length else {
            return Err(Silence::Garbled(std::mem::take(&mut self.buffer)));
        };
        if self.buffer.len() < blank + 4 + length {
            return Ok(None);
        }
        let mut frame = self.claim(blank + 4 + length);
        Ok(Some(frame.split_off(blank + 4)))
    }
}

/// Headers are short, so that only the beginning of a buffer needs to be searched for their end.
fn find(buffer: &[u8], wanted: &[u8]) -> Option<usize> {
    let head = &buffer[..buffer.len().min(4096)];
    head.windows(wanted.len()).position(|part| part == wanted)
}

fn write_all<W: Write>(mut output: W, to_write: &Receiver<Vec<u8>>, hang_up: fn(W)) {
    for bytes in to_write {
        if output.write_all(&bytes).is_err() || output.flush().is_err() {
            break;
        }
    }
    hang_up(output);
}

/// A server process. Dropping it kills the process if it still runs, and no other one.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Receiver<Vec<u8>>,
    logged: Vec<u8>,
}

impl Process {
    /// Starts the server and keeps what it logs to stderr.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (lines, log) = channel();
        if let Some(mut stderr) = child.stderr.take() {
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut chunk) {
                    if lines.send(chunk[..length].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        let logged = Vec::new();
        Ok(Self { child, log, logged })
    }

    /// The connection over the process's stdin and stdout; there is one, so a second call gets
    /// `None`.
    pub fn stdio(&mut self, framing: Framing) -> Option<Connection> {
        let input = self.child.stdout.take()?;
        let output = self.child.stdin.take()?;
        Some(Connection::new(framing, input, output, drop))
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has logged so far.
    pub fn logged(&mut self) -> String {
        self.logged.extend(self.log.try_iter().flatten());
        String::from_utf8_lossy(&self.logged).into_owned()
    }

    /// Waits for the process to end; `None` if it still runs after that time.
    ///
    /// # Errors
    ///
    /// If the process cannot be waited for.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        // A process closes its stderr when it ends and not before. Waiting for that has a time
        // limit on every platform, which waiting for the process itself has not.
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(bytes) => self.logged.extend(bytes),
                Err(RecvTimeoutError::Timeout) => return self.child.try_wait(),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().map(Some),
            }
        }
    }

    /// Kills the process at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If the process cannot be killed.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end, as SIGTERM does.
    ///
    /// # Errors
    ///
    /// If the process cannot be signalled.
    #[cfg(unix)]
    pub fn terminate(&mut self) -> io::Result<()> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail in a way that matters here: a process that has ended and was waited
        // for is left alone by both.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
