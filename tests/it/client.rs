//! A client of one server: calls by name, replies checked to come in the order of the calls.

use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;
use webstorage_server::transcript::{Connection, Framing, Incoming, Process, Silence};

use crate::peer::{PATIENCE, PROGRAM};

/// The result of a call as JSON text, or its error.
pub type Outcome = Result<String, Box<Fault>>;

/// The error of a call.
#[derive(Debug, Deserialize)]
pub struct Fault {
    pub message: String,
    #[serde(default)]
    pub data: FaultData,
}

/// What a storage error says for programs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FaultData {
    pub name: String,
    pub quota: Option<u64>,
    pub requested: Option<u64>,
    pub usage: Option<u64>,
    pub moved_to: Option<String>,
}

/// What `storage/open` tells.
#[derive(Debug, Deserialize)]
pub struct Opened {
    pub storage: u64,
    pub length: u64,
    pub usage: u64,
    pub quota: u64,
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: u64,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Box<Fault>>,
}

/// One connection to a server, and the server's process if it was started for this connection.
pub struct Client {
    process: Option<Process>,
    connection: Connection,
    sent: u64,
    answered: u64,
}

/// The command that runs the program under test with these arguments and nothing of this environment's own.
pub fn program<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
    command
}

/// A call as it goes over the wire, without its frame.
pub fn call(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

impl Client {
    /// Starts a server for the storage directory `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::with(dir, &[])
    }

    /// Starts a server for the storage directory `dir` with more arguments.
    pub fn with(dir: &Path, arguments: &[&str]) -> Self {
        Self::run(program(["--storage-dir".as_ref(), dir.as_os_str()]).args(arguments))
    }

    /// Starts a server by a command.
    pub fn run(command: &mut Command) -> Self {
        let mut process = Process::start(command).expect("the server was built and starts");
        let connection = process.stdio(Framing::Lines).expect("a new process has both of its pipes");
        Self { process: Some(process), connection, sent: 0, answered: 0 }
    }

    /// Connects to the socket of a server that is running or about to.
    pub fn connect(socket: &Path) -> Self {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "nobody listens on {}: {error}", socket.display()),
            }
            std::thread::yield_now();
        };
        let output = stream.try_clone().expect("descriptors are left");
        let connection = Connection::new(Framing::Lines, stream, output, |output| {
            // It fails when the server has closed the connection first.
            let _closed = output.shutdown(std::net::Shutdown::Write);
        });
        Self { process: None, connection, sent: 0, answered: 0 }
    }

    /// The id of the server's process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the client has started its server").id()
    }

    /// Sends a call and does not wait for its reply.
    pub fn send(&mut self, method: &str, params: &str) {
        self.sent += 1;
        self.connection.send(call(self.sent, method, params).as_bytes());
    }

    /// Sends several calls in one write, so that the server finds them waiting together.
    pub fn send_all<'a>(&mut self, calls: impl IntoIterator<Item = (&'a str, String)>) {
        let mut bytes = Vec::new();
        for (method, params) in calls {
            self.sent += 1;
            bytes.extend(Framing::Lines.encode(call(self.sent, method, &params).as_bytes()));
        }
        self.connection.send_raw(bytes);
    }

    /// Takes the reply to the oldest call that has none; `None` if the server has closed its output.
    pub fn next(&mut self) -> Option<Outcome> {
        let body = match self.connection.receive(PATIENCE) {
            Ok(Incoming::Message(body)) => body,
            // A server that was killed may have been writing a reply.
            Ok(Incoming::End) | Err(Silence::Garbled(_)) => return None,
            Err(silence) => panic!("{silence}\nthe server's log:\n{}", self.logged()),
        };
        let reply: Reply<'_> = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error} in {}", body.escape_ascii()));
        self.answered += 1;
        assert_eq!(reply.id, self.answered, "replies come in the order of the calls");
        Some(match reply.error {
            Some(fault) => Err(fault),
            None => Ok(reply.result.map_or("null", RawValue::get).to_owned()),
        })
    }

    /// Takes the reply to the oldest call that has none.
    pub fn outcome(&mut self) -> Outcome {
        match self.next() {
            Some(outcome) => outcome,
            None => panic!("the server ended without an answer; its log:\n{}", self.logged()),
        }
    }

    /// Makes a call.
    pub fn call(&mut self, method: &str, params: &str) -> Outcome {
        self.send(method, params);
        self.outcome()
    }

    /// Makes a call that must succeed.
    pub fn get(&mut self, method: &str, params: &str) -> String {
        self.call(method, params).unwrap_or_else(|fault| panic!("{method} {params:.200}: {fault:?}"))
    }

    /// Makes a call that must fail with the error of this name.
    pub fn fail(&mut self, method: &str, params: &str, name: &str) -> Fault {
        match self.call(method, params) {
            Err(fault) if fault.data.name == name => *fault,
            other => panic!("{method} {params:.200}: {other:?}"),
        }
    }

    /// Opens an area; `params` are those of `storage/open`.
    pub fn open(&mut self, params: &str) -> Opened {
        serde_json::from_str(&self.get("storage/open", params)).expect("open tells of the area")
    }

    /// All keys of an area of well-formed keys.
    pub fn keys(&mut self, storage: u64) -> Vec<String> {
        serde_json::from_str(&self.get("storage/keys", &format!("[{storage}]"))).expect("keys are an array of strings")
    }

    /// Ends the server's input.
    pub fn close(&mut self) {
        self.connection.close();
    }

    /// Kills the server, as `kill -9` does.
    pub fn kill(&mut self) {
        self.process_mut().kill().expect("the process is ours to kill");
    }

    /// Sends the server SIGTERM.
    pub fn terminate(&mut self) {
        self.process_mut().terminate().expect("the process is ours to signal");
    }

    /// Waits for the server to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.process_mut().wait(PATIENCE).expect("the process is ours to wait for");
        status.unwrap_or_else(|| panic!("the server still runs; its log:\n{}", self.logged()))
    }

    /// Ends the server's input, and waits for the server to end well.
    pub fn end(self) {
        self.end_logged();
    }

    /// As [`Client::end`]; what the server has logged.
    pub fn end_logged(mut self) -> String {
        self.close();
        assert!(self.next().is_none(), "every call has had its reply");
        assert_eq!(self.wait().code(), Some(0), "the end of the input is a normal end; the log:\n{}", self.logged());
        self.logged()
    }

    /// What the server has logged.
    pub fn logged(&mut self) -> String {
        self.process.as_mut().map(Process::logged).unwrap_or_default()
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the client has started its server")
    }
}
