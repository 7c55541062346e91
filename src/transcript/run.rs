//! Holds the conversation of a transcript with real server processes.

use std::collections::{BTreeMap, VecDeque};
use std::process::{Command, ExitStatus};

use super::json::Json;
use super::pattern::{Found, Pattern, shortened};
use super::process::{Connection, Framing, Incoming, Process};
use super::reach::reach;
use super::template::{Names, expected, sent};
use super::{Action, Host, Setting, Step, Transport};

/// How much of a server's log a failure shows.
const LOG_SHOWN: usize = 4000;

/// The differences, each with the line of its step.
pub(super) fn run(steps: &[Step], host: &Host) -> Vec<(usize, String)> {
    let mut names = Names::default();
    names.bind_text("DIR", &host.directory.to_string_lossy());
    let mut conversation = Conversation {
        host,
        settings: Settings::default(),
        names,
        processes: BTreeMap::new(),
        peers: BTreeMap::new(),
        line: 0,
        differences: Vec::new(),
    };
    let held = conversation.take(steps).and_then(|()| conversation.finish());
    if let Err(fault) = held {
        conversation.differ(fault);
    }
    conversation.add_logs();
    conversation.differences
}

/// What holds for the servers and connections to come.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) transport: Transport,
    pub(super) framing: Framing,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    exit: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { transport: Transport::Stdio, framing: Framing::Lines, arguments: Vec::new(), environment: Vec::new(), exit: 0 }
    }
}

/// A connection, and what it brought that no step has claimed yet.
struct Peer {
    connection: Connection,
    /// The name of the server process it leads to.
    server: String,
    replies: VecDeque<Json>,
    notifications: VecDeque<Json>,
}

/// The two queues of what a server says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Replies,
    Notifications,
}

struct Conversation<'a> {
    host: &'a Host,
    settings: Settings,
    names: Names,
    processes: BTreeMap<String, (Process, Transport)>,
    peers: BTreeMap<String, Peer>,
    /// The line of the step under way.
    line: usize,
    differences: Vec<(usize, String)>,
}

impl Conversation<'_> {
    /// Takes the steps one after the other. An error ends the conversation; differences that do
    /// not are only noted.
    fn take(&mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            self.line = step.line;
            if let Action::Loop { name, from, to, steps } = &step.action {
                for number in *from..=*to {
                    self.names.bind_number(name, number);
                    self.take(steps)?;
                }
            } else {
                self.act(&step.connection, &step.action)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, name: &str, action: &Action) -> Result<(), String> {
        match action {
            Action::Set(setting) => self.set(setting)?,
            Action::Loop { steps, .. } => self.take(steps)?,
            Action::Send(text) => {
                let text = sent(&self.names.expand(text)?)?;
                self.peer(name)?.connection.send(text.as_bytes());
            }
            Action::SendRaw(bytes) => self.peer(name)?.connection.send_raw(bytes.clone()),
            Action::SendBytewise(bytes) => {
                let peer = self.peer(name)?;
                for byte in bytes {
                    peer.connection.send_raw(vec![*byte]);
                }
            }
            Action::SendFrame(bytes) => self.peer(name)?.connection.send(bytes),
            Action::ExpectReply(text) => self.expect(name, text, Queue::Replies)?,
            Action::ExpectNotification(text) => self.expect(name, text, Queue::Notifications)?,
            Action::ExpectRaw(bytes) => self.expect_raw(name, bytes)?,
            Action::ExpectEnd => self.expect_end(name)?,
            Action::Close => self.peer(name)?.connection.close(),
            Action::Exit(code) => {
                self.expect_end(name)?;
                self.expect_exit(name, *code)?;
            }
            Action::Terminate => {
                self.peer(name)?;
                terminate(&mut self.process(name)?.0)?;
            }
            Action::Kill => {
                let process = &mut self.process(name)?.0;
                process.kill().map_err(|fault| fault.to_string())?;
                self.forget(name);
            }
            Action::Connect(server) => {
                let transport = self.process(server)?.1;
                if transport != Transport::Listen {
                    return Err(format!("the server `{server}` does not listen"));
                }
                let connection = reach(self.host, &self.settings, server, None)?;
                self.add_peer(name, server, connection);
            }
        }
        Ok(())
    }

    fn set(&mut self, setting: &Setting) -> Result<(), String> {
        match setting {
            Setting::Arguments(arguments) => {
                let expanded = arguments.iter().map(|text| self.names.expand(text));
                self.settings.arguments = expanded.collect::<Result<_, _>>()?;
            }
            Setting::Environment(name, value) => {
                let value = self.names.expand(value)?;
                self.settings.environment.push((name.clone(), value));
            }
            Setting::Framing(framing) => self.settings.framing = *framing,
            Setting::Transport(transport) => self.settings.transport = *transport,
            Setting::Exit(code) => self.settings.exit = *code,
        }
        Ok(())
    }

    /// The connection of this name; a server is started for it if there is none.
    fn peer(&mut self, name: &str) -> Result<&mut Peer, String> {
        if !self.peers.contains_key(name) {
            let mut command = Command::new(&self.host.program);
            // Nothing of the surroundings may change what the server does.
            command
                .args(&self.settings.arguments)
                .env_remove("WEBSTORAGE_DIR")
                .env_remove("XDG_DATA_HOME")
                .env_remove("RUST_LOG")
                .env("HOME", &self.host.directory)
                .envs(self.settings.environment.iter().cloned());
            let mut process = None;
            let start = Some((&mut command, &mut process));
            let connection = reach(self.host, &self.settings, name, start);
            // A server that cannot be reached is kept too, for its log says why.
            if let Some(process) = process {
                let transport = self.settings.transport;
                self.processes.insert(name.to_owned(), (process, transport));
            }
            self.add_peer(name, name, connection?);
        }
        let peer = self.peers.get_mut(name);
        peer.ok_or_else(|| format!("there is no connection `{name}`"))
    }

    fn add_peer(&mut self, name: &str, server: &str, connection: Connection) {
        let peer = Peer { connection, server: server.to_owned(), replies: VecDeque::new(), notifications: VecDeque::new() };
        self.peers.insert(name.to_owned(), peer);
    }

    fn process(&mut self, name: &str) -> Result<&mut (Process, Transport), String> {
        let process = self.processes.get_mut(name);
        process.ok_or_else(|| format!("no server `{name}` is running"))
    }

    fn forget(&mut self, server: &str) {
        self.processes.remove(server);
        self.peers.retain(|_, peer| peer.server != server);
    }

    fn expect(&mut self, name: &str, text: &str, queue: Queue) -> Result<(), String> {
        let text = expected(&self.names.expand(text)?)?;
        let pattern = Pattern::parse(&text).map_err(|fault| format!("the pattern is malformed: {fault}\n  {text}"))?;
        let patience = self.host.patience;
        let message = loop {
            let peer = self.peer(name)?;
            let claimed = match queue {
                Queue::Replies => peer.replies.pop_front(),
                Queue::Notifications => peer.notifications.pop_front(),
            };
            if let Some(message) = claimed {
                break message;
            }
            let fault = match peer.connection.receive(patience) {
                Ok(Incoming::Message(body)) => match peer.sort(&body) {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
                Ok(Incoming::End) => "the server has closed its output".to_owned(),
                Err(silence) => silence.to_string(),
            };
            let expected = shortened(&text);
            return Err(format!("{fault}\n  expected: {expected}"));
        };
        let mut found = Found { names: &mut self.names, differences: Vec::new() };
        pattern.compare(&message, "", &mut found);
        if !found.differences.is_empty() {
            let (expected, received) = (shortened(&text), shortened(&message.to_string()));
            // A message of thousands of wrong items is as wrong as one of ten.
            found.differences.truncate(10);
            let places = found.differences.join("\n    ");
            let headline = "not what was expected";
            self.differ(format!("{headline}\n  expected: {expected}\n  received: {received}\n    {places}"));
        }
        Ok(())
    }

    fn expect_raw(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let patience = self.host.patience;
        let peer = self.peer(name)?;
        let received = peer.connection.receive_raw(bytes.len(), patience);
        if received == bytes {
            return Ok(());
        }
        let (expected, received) = (bytes.escape_ascii(), received.escape_ascii());
        Err(format!(
            "not the bytes that were expected\n  expected: \"{}\"\n  received: \"{}\"",
            shortened(&expected.to_string()),
            shortened(&received.to_string())
        ))
    }

    fn expect_end(&mut self, name: &str) -> Result<(), String> {
        let patience = self.host.patience;
        let peer = self.peer(name)?;
        let fault = loop {
            match peer.connection.receive(patience) {
                Ok(Incoming::Message(body)) => {
                    if let Err(fault) = peer.sort(&body) {
                        break Some(fault);
                    }
                }
                Ok(Incoming::End) => break None,
                Err(silence) => break Some(silence.to_string()),
            }
        };
        let unclaimed: Vec<String> =
            peer.replies.drain(..).chain(peer.notifications.drain(..)).take(5).map(|message| shortened(&message.to_string())).collect();
        if !unclaimed.is_empty() {
            let unclaimed = unclaimed.join("\n  received: ");
            self.differ(format!("messages that no step expects\n  received: {unclaimed}"));
        }
        match fault {
            None => Ok(()),
            Some(fault) => Err(format!("{fault}\n  expected: the end of the output")),
        }
    }

    fn expect_exit(&mut self, name: &str, code: i32) -> Result<(), String> {
        let patience = self.host.patience;
        let status = self.process(name)?.0.wait(patience);
        match status.map_err(|fault| fault.to_string())? {
            None => return Err("the server has not ended in time".to_owned()),
            Some(status) if status.code() == Some(code) => {}
            Some(status) => {
                let log = self.process(name)?.0.logged();
                let status = shown_status(status);
                let log = indented(&log);
                self.differ(format!("expected exit code {code}, received {status}{log}"));
            }
        }
        self.forget(name);
        Ok(())
    }

    /// Ends every connection and every server, none of which may have more to say.
    fn finish(&mut self) -> Result<(), String> {
        let peers: Vec<String> = self.peers.keys().cloned().collect();
        for name in &peers {
            if let Some(peer) = self.peers.get_mut(name) {
                peer.connection.close();
            }
        }
        for name in &peers {
            self.expect_end(name).map_err(|fault| format!("at the end of the transcript: {fault}"))?;
        }
        let servers: Vec<String> = self.processes.keys().cloned().collect();
        for name in &servers {
            let (process, transport) = self.process(name)?;
            // Only a listening server outlives its connections.
            if *transport == Transport::Listen {
                terminate(process)?;
            }
            self.expect_exit(name, self.settings.exit)?;
        }
        Ok(())
    }

    fn differ(&mut self, text: String) {
        self.differences.push((self.line, text));
    }

    /// After a difference, what the servers have logged helps to explain it.
    fn add_logs(&mut self) {
        let Some((_, text)) = self.differences.last_mut() else {
            return;
        };
        for (name, (process, _)) in &mut self.processes {
            let log = process.logged();
            if !log.trim().is_empty() {
                let headline = ["\n  the log of server `", name, "`:"].concat();
                text.push_str(&headline);
                text.push_str(&indented(&log));
            }
        }
    }
}

impl Peer {
    fn sort(&mut self, body: &[u8]) -> Result<(), String> {
        let message = Json::parse(body).map_err(|fault| {
            let shown = shortened(&body.escape_ascii().to_string());
            format!("not JSON: {fault}\n  received: {shown}")
        })?;
        let queue = if message.member("method").is_some() { &mut self.notifications } else { &mut self.replies };
        queue.push_back(message);
        Ok(())
    }
}

#[cfg(unix)]
fn terminate(process: &mut Process) -> Result<(), String> {
    process.terminate().map_err(|fault| fault.to_string())
}

#[cfg(not(unix))]
fn terminate(_process: &mut Process) -> Result<(), String> {
    Err("`terminate` needs signals, which this platform does not have".to_owned())
}

fn shown_status(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => code.to_string(),
        None => format!("none ({status})"),
    }
}

/// The end of a log, set off from the text around it.
fn indented(log: &str) -> String {
    let mut begin = log.len().saturating_sub(LOG_SHOWN);
    while !log.is_char_boundary(begin) {
        begin += 1;
    }
    let lines = log[begin..].lines();
    lines.flat_map(|line| ["\n    ", line]).collect()
}
