//! Transcripts: conversations with a server as text, written by hand, and what replays them.
//!
//! A transcript is a file of lines. The tests under `tests/protocol/` are transcripts.
//!
//! ```text
//! # A comment takes a whole line.
//! args: --no-persistent
//!
//! --> 1 storage/open [false]
//! <-- 1 {"storage":<integer as s>,"persistent":false,...}
//! --> 2 storage/getItem {"storage":$s,"key":"absent"}
//! <-- 2 null
//! --> 3 storage/getItem {"storage":$s}
//! <-- 3 ! -32602 "key"
//! ```
//!
//! # Lines
//!
//! Blank lines and lines that begin with `#` say nothing. An indented line continues the one
//! before it. Every other line is a setting or a step.
//!
//! # Settings
//!
//! They hold for the servers that start, and the connections that open, further down.
//!
//! | setting | meaning | if left out |
//! |---|---|---|
//! | `args: --flag value` | the server's arguments, separated by blanks; `"…"` keeps blanks inside | none |
//! | `env: NAME=value` | an environment variable | |
//! | `framing: lines` or `headers` | how messages are framed | `lines` |
//! | `transport: stdio`, `listen`, `pipe`, `socket` | how the server is reached; the flag for it is added to the arguments | `stdio` |
//! | `exit: 0` | the exit code at the end of the transcript | `0` |
//!
//! `${DIR}` is an empty directory that belongs to the transcript: `args: --storage-dir ${DIR}/s`
//! gives several servers, or several runs of one, the same storage.
//!
//! # Steps
//!
//! | step | meaning |
//! |---|---|
//! | `--> call` | sends a message |
//! | `<-- reply` | the next reply matches the pattern |
//! | `<~~ notification` | the next notification or request of the server matches the pattern |
//! | `-->raw bytes` | sends bytes that are not framed |
//! | `-->bytewise bytes` | the same, with a write for each byte |
//! | `-->frame bytes` | sends bytes as the body of a frame |
//! | `<--raw bytes` | exactly these bytes come next |
//! | `<-- end` | the server closes its output, having said nothing more |
//! | `close` | ends the server's input |
//! | `exit 0` | the output ends, and the process with this code |
//! | `terminate` | asks the process to end (SIGTERM) |
//! | `kill` | kills the process (SIGKILL) |
//! | `connect to A` | a further connection to the listening server `A` |
//! | `for n in 1..3` … `end` | the steps between, for each `n`, both ends included |
//!
//! Replies and notifications are two queues, each in the order of arrival, because a change made
//! elsewhere may be announced before or after a reply.
//!
//! A step may begin with the name of a connection, an upper-case letter and perhaps digits:
//! `B--> …`, `B<-- …`, `B close`. The first step that names a connection starts a server for it,
//! and so does the first one after that server's exit, with the arguments that hold there.
//!
//! At the end of the transcript every input is closed, nothing more may come, and every server
//! must end with the exit code of the settings. Whatever has come and was not expected is an
//! error, so a call that must get no answer needs no step of its own.
//!
//! # Messages
//!
//! A message that begins with `{` or `[` is sent as it stands, valid or not. The short form
//! `id method params` stands for a whole call, `method params` for a notification; both may leave
//! the params out.
//!
//! In a reply, `id result` stands for a whole response and `id ! error` for one with an error:
//! `! -32602 "text"` has this code and a message that contains the text (and any `data`, unless a
//! pattern for it follows); `! QuotaExceededError "text" {"quota":10,…}` is known by the `name` in
//! its `data`, whose other members follow, and without them may be any. Text and data may be left
//! out, and `!` alone is any error.
//!
//! # Patterns
//!
//! A pattern is JSON that must be equal: strings unit by unit with lone surrogates, numbers as
//! they are written, objects in any order of members but without further ones. Besides there are:
//!
//! | pattern | matches |
//! |---|---|
//! | `<any>`, `<integer>`, `<number>`, `<string>`, `<boolean>`, `<array>`, `<object>` | any value of the kind |
//! | `<string containing "x">` | a string with that part |
//! | `<array of 100 pattern>` | an array of so many items, each of which matches |
//! | `...` at the end of an array or object | any further items or members |
//! | `<integer as s>` | the same, and binds the name `s` to the value |
//!
//! In messages and patterns `$s` outside a string and `${s}` inside one are replaced by what the
//! name is bound to, and `<"ab" x 1000>` is the string of that many repetitions.
//!
//! # Bytes
//!
//! One or more strings with the escapes `\r \n \t \0 \" \\ \xNN`, each of which may have
//! `repeat 1000` before it.

mod json;
mod parse;
mod pattern;
mod process;
mod reach;
mod record;
mod run;
mod template;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use json::Json;
pub use process::{Connection, Framing, Incoming, Process, Silence};
pub use record::{Recorder, is_volatile};

/// A parsed transcript.
#[derive(Debug)]
pub struct Transcript {
    name: String,
    steps: Vec<Step>,
}

/// How and where to start the servers of a transcript.
#[derive(Debug)]
pub struct Host {
    /// The server's program.
    pub program: PathBuf,
    /// An empty directory, `${DIR}` in the transcript. The servers also get it as their home, so
    /// that no transcript can touch what the person who runs it has stored.
    pub directory: PathBuf,
    /// How long the server may take for each step.
    pub patience: Duration,
}

/// A place where the server did not do what the transcript says.
#[derive(Debug)]
pub struct Failure {
    name: String,
    line: usize,
    text: String,
}

#[derive(Debug)]
struct Step {
    line: usize,
    /// The connection; the empty name is the one of steps that name none.
    connection: String,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Set(Setting),
    Send(String),
    SendRaw(Vec<u8>),
    SendBytewise(Vec<u8>),
    SendFrame(Vec<u8>),
    ExpectReply(String),
    ExpectNotification(String),
    ExpectRaw(Vec<u8>),
    ExpectEnd,
    Close,
    Exit(i32),
    Terminate,
    Kill,
    Connect(String),
    Loop { name: String, from: u64, to: u64, steps: Vec<Step> },
}

#[derive(Debug)]
enum Setting {
    Arguments(Vec<String>),
    Environment(String, String),
    Framing(Framing),
    Transport(Transport),
    Exit(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Stdio,
    Listen,
    Pipe,
    Socket,
}

impl Transcript {
    /// Reads a transcript; `name` is what failures call it, usually its path.
    ///
    /// # Errors
    ///
    /// Names the line that is neither a setting nor a step.
    pub fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let steps = parse::steps(text).map_err(|(line, text)| Failure { name: name.to_owned(), line, text })?;
        let name = name.to_owned();
        Ok(Self { name, steps })
    }

    /// Holds the conversation with servers started by `host`.
    ///
    /// # Errors
    ///
    /// Every difference found. A reply that differs does not end the conversation; one that never
    /// comes does.
    pub fn run(&self, host: &Host) -> Result<(), Vec<Failure>> {
        let differences = run::run(&self.steps, host);
        if differences.is_empty() {
            return Ok(());
        }
        let failure = |(line, text)| Failure { name: self.name.clone(), line, text };
        Err(differences.into_iter().map(failure).collect())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.name, self.line, self.text)
    }
}

impl std::error::Error for Failure {}
