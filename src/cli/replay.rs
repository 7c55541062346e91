//! Conversations once more: transcripts, and what `--trace` has recorded, with a fresh server.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use webstorage_server::transcript::{Connection, Framing, Host, Incoming, Json, Process, Transcript, is_volatile};

use super::{Stop, screen};

/// How long a server may take for each step.
const PATIENCE: Duration = Duration::from_secs(30);

/// One line of a trace.
#[derive(Deserialize)]
struct Line<'a> {
    direction: &'a str,
    /// Which process has written the line; all are of one if it is not said.
    #[serde(default)]
    process: u64,
    connection: u64,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// Replays a file and prints what differs.
pub fn replay(file: &Path, flags: &[String], out: &mut impl Write) -> Result<(), Stop> {
    let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Stop::NotFound(format!("there is no file {}", file.display())),
        _ => Stop::Failed(format!("{}: {error}", file.display())),
    })?;
    if text.trim().is_empty() {
        return Err(Stop::Refused(format!("{} is empty: there is nothing to replay", file.display())));
    }
    let directory = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    let differences = if text.trim_start().starts_with('{') {
        replay_trace(&text, flags, &program, directory.path())?
    } else {
        if !flags.is_empty() {
            return Err(Stop::Refused("a transcript says itself which flags its servers get".to_owned()));
        }
        let host = Host { program, directory: directory.path().to_owned(), patience: PATIENCE };
        let transcript = Transcript::parse(&file.display().to_string(), &text).map_err(|failure| Stop::Refused(failure.to_string()))?;
        transcript.run(&host).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    for difference in &differences {
        writeln!(out, "{}", screen::for_stream(difference, &std::io::stdout()))?;
    }
    match differences.len() {
        0 => Ok(()),
        1 => Err(Stop::NotFound("1 difference".to_owned())),
        count => Err(Stop::NotFound(format!("{count} differences"))),
    }
}

/// A server of a replayed connection, and what it said that was not compared yet.
struct Peer {
    process: Process,
    connection: Connection,
    replies: VecDeque<Json>,
    notifications: VecDeque<Json>,
}

/// Every recorded connection gets a server of its own; persistent storage is the same for all of them.
fn replay_trace(text: &str, flags: &[String], program: &Path, directory: &Path) -> Result<Vec<String>, Stop> {
    let mut peers: BTreeMap<(u64, u64), Peer> = BTreeMap::new();
    let mut differences = Vec::new();
    for (index, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let number = index + 1;
        let line: Line<'_> =
            serde_json::from_str(text).map_err(|error| Stop::Refused(format!("line {number} is no line of a trace: {error}")))?;
        let peer = match peers.entry((line.process, line.connection)) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Peer::start(program, flags, directory)?),
        };
        // What was no JSON on one line was recorded as a string.
        let unquoted: Option<String> = serde_json::from_str(line.message.get()).ok();
        let message = unquoted.as_deref().unwrap_or(line.message.get());
        if line.direction == "in" {
            peer.connection.send(private(message, directory).as_bytes());
            continue;
        }
        let expected = Json::parse(message.as_bytes()).map_err(|error| Stop::Refused(format!("line {number}: {error}")))?;
        match peer.next(expected.member("method").is_some()) {
            Ok(received) => {
                let mut places = Vec::new();
                compare(&expected, &received, "message", &mut places);
                if !places.is_empty() {
                    differences.push(format!(
                        "line {number}: connection {}\n- {expected}\n+ {received}\n  {}",
                        line.connection,
                        places.join("\n  ")
                    ));
                }
            }
            Err(why) => {
                differences.push(format!("line {number}: connection {}\n- {expected}\n+ {why}", line.connection));
                return Ok(differences);
            }
        }
    }
    for ((_, number), peer) in peers {
        differences.extend(peer.end().into_iter().map(|extra| format!("connection {number} at the end\n+ {extra}")));
    }
    Ok(differences)
}

impl Peer {
    fn start(program: &Path, flags: &[String], directory: &Path) -> Result<Self, Stop> {
        let mut command = Command::new(program);
        command.arg("serve").arg("--storage-dir").arg(directory).args(flags).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
        let mut process = Process::start(&mut command)?;
        let connection = process.stdio(Framing::Lines).ok_or_else(|| Stop::Failed("the server has no pipes".to_owned()))?;
        Ok(Peer { process, connection, replies: VecDeque::new(), notifications: VecDeque::new() })
    }

    /// The next reply, or the next notification: which of them comes first is left to chance.
    fn next(&mut self, notification: bool) -> Result<Json, String> {
        loop {
            let queue = if notification { &mut self.notifications } else { &mut self.replies };
            if let Some(message) = queue.pop_front() {
                return Ok(message);
            }
            match self.connection.receive(PATIENCE) {
                Ok(Incoming::Message(body)) => self.sort(&body)?,
                Ok(Incoming::End) => return Err("the server has closed its output".to_owned()),
                Err(silence) => return Err(silence.to_string()),
            }
        }
    }

    fn sort(&mut self, body: &[u8]) -> Result<(), String> {
        let message = Json::parse(body)?;
        let queue = if message.member("method").is_some() { &mut self.notifications } else { &mut self.replies };
        queue.push_back(message);
        Ok(())
    }

    /// Ends the server, and gives what it said that was not recorded.
    fn end(mut self) -> Vec<String> {
        self.connection.close();
        let mut extra = Vec::new();
        loop {
            match self.connection.receive(PATIENCE) {
                Ok(Incoming::Message(body)) => extra.extend(self.sort(&body).err()),
                Ok(Incoming::End) => break,
                Err(silence) => {
                    extra.push(silence.to_string());
                    break;
                }
            }
        }
        extra.extend(self.replies.iter().chain(&self.notifications).map(ToString::to_string));
        match self.process.wait(PATIENCE) {
            Ok(Some(_)) => {}
            Ok(None) => extra.push("the server does not end".to_owned()),
            Err(error) => extra.push(error.to_string()),
        }
        extra
    }
}

/// A recorded message without the storage directory of those days, which a replay must not touch.
fn private(message: &str, directory: &Path) -> String {
    let named = Json::parse(message.as_bytes()).ok().and_then(|message| {
        let options = message.member("params")?.member("initializationOptions")?;
        Some(options.member("storageDir")?.to_string())
    });
    match named {
        Some(named) => message.replace(&named, &super::json(&directory.display().to_string())),
        None => message.to_owned(),
    }
}

/// Lists where two messages differ, apart from what differs from run to run.
fn compare(expected: &Json, received: &Json, place: &str, places: &mut Vec<String>) {
    match (expected, received) {
        (Json::Object(expected), Json::Object(received)) => {
            for (name, value) in expected {
                let name_text = String::from_utf16_lossy(name);
                let place = format!("{place}.{name_text}");
                match received.iter().find(|(own, _)| own == name) {
                    None => places.push(format!("{place}: missing")),
                    Some(_) if is_volatile(&name_text) => {}
                    Some((_, received)) => compare(value, received, &place, places),
                }
            }
            for (name, _) in received.iter().filter(|(name, _)| !expected.iter().any(|(own, _)| own == name)) {
                places.push(format!("{place}.{}: not recorded", String::from_utf16_lossy(name)));
            }
        }
        (Json::Array(expected), Json::Array(received)) if expected.len() == received.len() => {
            for (index, (expected, received)) in expected.iter().zip(received).enumerate() {
                compare(expected, received, &format!("{place}[{index}]"), places);
            }
        }
        (expected, received) if expected == received => {}
        _ => places.push(format!("{place}: recorded {expected}, received {received}")),
    }
}
