//! A server process for one test, with one connection over its pipes. Every wait has a limit, and
//! dropping it kills its own process and no other.

use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use webstorage_server::transcript::{Connection, Framing, Incoming, Process};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_webstorage-server");

/// How long a server may take for anything, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct Peer {
    /// The server, if it was started for this connection.
    process: Option<Process>,
    connection: Connection,
}

impl Peer {
    /// Starts a server with these arguments, which is spoken to in this framing.
    pub fn start<A: AsRef<OsStr>>(framing: Framing, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
        Self::spawn(framing, &mut command)
    }

    /// Starts a server by a command of the test's own, which may be a wrapper around the program.
    pub fn spawn(framing: Framing, command: &mut Command) -> Self {
        let mut process = Process::start(command).expect("the server was built and starts");
        let connection = process.stdio(framing).expect("a new process has both of its pipes");
        Self { process: Some(process), connection }
    }

    /// Connects to the socket of a server that somebody else has started.
    pub fn connect(framing: Framing, socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the server listens");
        let output = stream.try_clone().expect("descriptors are left");
        let connection = Connection::new(framing, stream, output, |output| {
            // It fails when the server has closed the connection first.
            let _closed = output.shutdown(std::net::Shutdown::Write);
        });
        Self { process: None, connection }
    }

    /// The id of the server's process.
    pub fn id(&mut self) -> u32 {
        self.started().id()
    }

    /// Kills the server, as `kill -9` does.
    pub fn kill(&mut self) {
        self.started().kill().expect("the process is ours to kill");
    }

    /// Sends a message.
    pub fn send(&self, body: &str) {
        self.connection.send(body.as_bytes());
    }

    /// Sends bytes that need not be a frame.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.connection.send_raw(bytes.to_vec());
    }

    /// Ends the server's input.
    pub fn close(&mut self) {
        self.connection.close();
    }

    /// The next message; `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<String> {
        match self.connection.receive(PATIENCE) {
            Ok(Incoming::Message(body)) => Some(String::from_utf8(body).expect("messages are UTF-8")),
            Ok(Incoming::End) => None,
            Err(silence) => panic!("{silence}\nthe server's log:\n{}", self.logged()),
        }
    }

    /// Makes a call and takes the next message as its reply.
    pub fn call(&mut self, body: &str) -> String {
        self.send(body);
        self.receive().expect("the server answers before it ends")
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.started().wait(PATIENCE).expect("the process is ours to wait for");
        status.unwrap_or_else(|| panic!("the server still runs; its log:\n{}", self.logged()))
    }

    fn started(&mut self) -> &mut Process {
        self.process.as_mut().expect("this connection has started its server")
    }

    fn logged(&mut self) -> String {
        self.process.as_mut().map(Process::logged).unwrap_or_default()
    }
}
