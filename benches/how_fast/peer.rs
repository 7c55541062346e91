//! The processes that are measured: the server, and the bare echo it is compared with.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::calls::{self, Call};

/// The argument that makes this program the echo.
pub const ECHO: &str = "echo";

/// A process that answers calls on its standard input.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    received: Vec<u8>,
}

impl Peer {
    /// Starts the server with persistent areas in `dir`.
    pub fn server(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webstorage-server"));
        Peer::start(command.arg("--storage-dir").arg(dir).env_remove("RUST_LOG"))
    }

    /// Starts a process that reads as many bytes as each request has and writes the bytes of a reply.
    pub fn echo(like: &Call) -> Self {
        let myself = std::env::current_exe().expect("this program has a path");
        Peer::start(Command::new(myself).arg(ECHO).arg(like.request.len().to_string()).arg(like.reply.len().to_string()))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the process starts");
        let input = child.stdin.take().expect("standard input is a pipe");
        let output = child.stdout.take().expect("standard output is a pipe");
        Peer { child, input, output, received: vec![0; 2 << 20] }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Opens an area, whose handle must be `handle`.
    pub fn open(&mut self, persistent: bool, origin: &str, handle: u32) {
        self.input.write_all(&calls::open(persistent, origin)).expect("the server reads");
        let reply = self.receive_frame();
        assert!(reply.contains(&format!("\"result\":{{\"storage\":{handle},")), "{reply}");
    }

    /// Makes a call and returns its time in microseconds. The reply must be the expected one.
    pub fn round_trip(&mut self, call: &Call) -> f64 {
        let micros = self.exchange(call);
        let reply = &self.received[..call.reply.len()];
        assert!(reply == call.reply, "expected {}, got {}", shortened(&call.reply), shortened(reply));
        micros
    }

    /// As [`Peer::round_trip`], with the echo, whose replies have the right size only.
    pub fn exchange(&mut self, call: &Call) -> f64 {
        let began = Instant::now();
        self.input.write_all(&call.request).expect("the process reads");
        let mut got = 0;
        while got < call.reply.len() {
            let count = self.output.read(&mut self.received[got..]).expect("the process writes");
            assert!(count > 0, "the process has ended");
            got += count;
            // An error reply may be shorter than the one that is expected.
            let complete = frame_length(&self.received[..got]);
            assert!(complete.is_none_or(|length| length == call.reply.len()), "got {}", shortened(&self.received[..got]));
        }
        began.elapsed().as_secs_f64() * 1e6
    }

    /// Makes calls with at most `window` of them unanswered at any time, and returns how many a second.
    pub fn pipeline(&mut self, calls: &[Call], window: usize) -> f64 {
        let requests: Vec<u8> = calls.iter().flat_map(|call| call.request.iter().copied()).collect();
        let replies: Vec<u8> = calls.iter().flat_map(|call| call.reply.iter().copied()).collect();
        let ends = |size: fn(&Call) -> usize| {
            calls.iter().scan(0, move |end, call| {
                *end += size(call);
                Some(*end)
            })
        };
        let request_ends: Vec<usize> = ends(|call| call.request.len()).collect();
        let reply_ends: Vec<usize> = ends(|call| call.reply.len()).collect();
        let mut received = vec![0; replies.len()];
        let (mut sent, mut answered, mut got) = (0, 0, 0);
        let began = Instant::now();
        while answered < calls.len() {
            let until = (answered + window).min(calls.len());
            if until > sent {
                let start = if sent == 0 { 0 } else { request_ends[sent - 1] };
                self.input.write_all(&requests[start..request_ends[until - 1]]).expect("the server reads");
                sent = until;
            }
            let count = self.output.read(&mut received[got..]).expect("the server writes");
            assert!(count > 0, "the server has ended");
            got += count;
            while answered < calls.len() && reply_ends[answered] <= got {
                answered += 1;
            }
            // A wrong reply of another size would leave this loop waiting.
            let checked = if answered == 0 { 0 } else { reply_ends[answered - 1] };
            assert!(received[checked..got] == replies[checked..got], "got {}", shortened(&received[checked..got]));
        }
        let rate = calls.len() as f64 / began.elapsed().as_secs_f64();
        assert!(received == replies, "a reply was not the expected one");
        rate
    }

    fn receive_frame(&mut self) -> String {
        let mut got = 0;
        loop {
            got += self.output.read(&mut self.received[got..]).expect("the process writes");
            if frame_length(&self.received[..got]) == Some(got) {
                return String::from_utf8_lossy(&self.received[..got]).into_owned();
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("a process could not be ended: {error}");
        }
    }
}

/// The length of the first frame, if its headers are there.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.strip_prefix(b"Content-Length: ")?;
    let end = digits.iter().position(|byte| *byte == b'\r')?;
    let length: usize = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    Some(16 + end + 4 + length)
}

fn shortened(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

/// The echo: for every so many bytes read, so many bytes are written. It looks at none of them.
pub fn echo(sizes: &[String]) {
    let size = |at: usize| sizes[at].parse::<usize>().expect("the sizes are numbers");
    let (request, reply) = (size(0), size(1));
    let header = format!("Content-Length: {}\r\n\r\n", reply - 16 - 4 - digits(reply));
    let mut message = vec![b'x'; reply];
    message[..header.len()].copy_from_slice(header.as_bytes());
    let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut buffer = vec![0; 64 << 10];
    let mut waiting = 0;
    loop {
        match rustix::io::read(input, &mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => waiting += count,
        }
        while waiting >= request {
            waiting -= request;
            let mut rest = message.as_slice();
            while !rest.is_empty() {
                match rustix::io::write(output, rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(_) => return,
                }
            }
        }
    }
}

/// How many digits the length has of a body whose frame has `frame` bytes.
fn digits(frame: usize) -> usize {
    (1..8).find(|digits| (frame - 20 - digits).to_string().len() == *digits).unwrap_or_default()
}

/// Runs `work` with this thread, and the processes it starts, on one core.
pub fn on_one_core<T>(work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("the system tells the cores");
    // The highest core that may be used: the first one has most of the interrupts.
    let core = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core)).expect("there is a core");
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).expect("a core may be chosen");
    let done = work();
    sched_setaffinity(None, &before).expect("all cores may be used again");
    done
}
