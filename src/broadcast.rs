//! Broadcast: from a change of an area to the handles that listen to it (HTML, "broadcast a storage event").
//!
//! Every other handle on the area is told, never the one that made the change unless it asks for that. Each
//! listener gets the changes in the order of their commits. A listener that does not read is told, once it
//! reads again, that it has missed changes; nobody waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::area::Change;
use crate::dom_string::{IllFormed, starts_with, write_json};
use crate::frame::{Framing, encode, write_decimal};
use crate::output::Output;
use crate::protocol::{Handle, SubscriptionId};
use crate::sqlite::JournalRow;

/// A change and who made it.
#[derive(Clone, Debug)]
pub struct Event {
    /// What changed.
    pub change: Change,
    /// The URL of the document that made the change.
    pub url: Arc<str>,
    /// The connection and handle that made the change, if they are this process's.
    pub source: Option<(u64, Handle)>,
}

impl Event {
    /// The changes that a handle of this process has made.
    #[must_use]
    pub fn from_changes(changes: Vec<Change>, url: &Arc<str>, source: (u64, Handle)) -> Vec<Self> {
        changes.into_iter().map(|change| Event { change, url: Arc::clone(url), source: Some(source) }).collect()
    }

    /// The bytes of its strings.
    fn size(&self) -> usize {
        let Change { key, old_value, new_value, .. } = &self.change;
        [key, old_value, new_value].into_iter().flatten().map(Vec::len).sum()
    }

    /// Whether the values were not kept, because nobody wanted them when the change was made.
    #[must_use]
    pub fn lacks_values(&self) -> bool {
        self.change.key.is_some() && self.change.old_value.is_none() && self.change.new_value.is_none()
    }
}

impl From<JournalRow> for Event {
    fn from(row: JournalRow) -> Self {
        let JournalRow { sequence, key, old, new, url } = row;
        Event { change: Change { sequence, key, old_value: old, new_value: new }, url: url.into(), source: None }
    }
}

/// One listener: a subscription of one handle.
#[derive(Debug)]
pub struct Listener {
    /// The number of the connection in this process.
    pub connection: u64,
    /// The id of the subscription, unique on its connection.
    pub subscription: SubscriptionId,
    /// The handle that listens.
    pub storage: Handle,
    /// Which keys it wants to hear of.
    pub filter: Filter,
    /// Whether it wants the values.
    pub values: bool,
    /// Whether it wants to hear of its own changes.
    pub include_self: bool,
    /// Whether it wants to hear of changes of the quota and of the number of other processes that listen.
    pub tells_quota: bool,
    /// How messages to it are framed.
    pub framing: Framing,
    /// How lone surrogates are written to it.
    pub ill_formed: IllFormed,
    /// Where messages to it go.
    pub output: Output,
    /// What it is to get once the reply to its subscription is out: a client cannot know the id before that.
    pub held: Option<Held>,
}

/// Messages that wait for the reply to a subscription.
#[derive(Debug, Default)]
pub struct Held {
    messages: Vec<u8>,
    /// The sequence up to which they tell.
    sequence: u64,
}

/// Bytes that may wait for the reply to a subscription, which itself may wait for a client that does not read.
const MAX_HELD: usize = 16 << 20;

/// Which keys a listener wants to hear of. A change of all keys at once concerns every filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every key.
    All,
    /// These keys.
    Keys(BTreeSet<Vec<u8>>),
    /// The keys that begin so.
    Prefix(Vec<u8>),
}

impl Filter {
    fn lets_through(&self, key: Option<&[u8]>) -> bool {
        match (self, key) {
            (Filter::All, _) | (_, None) => true,
            (Filter::Keys(keys), Some(key)) => keys.contains(key),
            (Filter::Prefix(prefix), Some(key)) => starts_with(key, prefix),
        }
    }
}

/// Everyone in this process who listens to one area.
#[derive(Debug, Default)]
pub struct Listeners {
    listeners: Vec<Listener>,
}

impl Listeners {
    /// Adds a listener.
    pub fn add(&mut self, listener: Listener) {
        self.listeners.push(listener);
    }

    /// Removes the listeners of one connection that `which` chooses.
    pub fn remove(&mut self, connection: u64, which: impl Fn(&Listener) -> bool) {
        self.listeners.retain(|listener| listener.connection != connection || !which(listener));
    }

    /// Takes what was held back for the listeners of one connection that `which` chooses.
    pub fn take_held(&mut self, connection: u64, which: impl Fn(&Listener) -> bool) -> Vec<u8> {
        let chosen = self.listeners.iter_mut().filter(|listener| listener.connection == connection && which(listener));
        chosen.filter_map(|listener| listener.held.take()).flat_map(|held| held.messages).collect()
    }

    /// Sends what was held back for a new listener, now that the reply to its subscription is out.
    pub fn release(&mut self, connection: u64, subscription: SubscriptionId) {
        for listener in &mut self.listeners {
            if listener.connection == connection
                && listener.subscription == subscription
                && let Some(Held { messages, sequence }) = listener.held.take()
                && !messages.is_empty()
            {
                listener.send(&messages, sequence);
            }
        }
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Whether anybody wants the values.
    #[must_use]
    pub fn want_values(&self) -> bool {
        self.listeners.iter().any(|listener| listener.values)
    }

    /// Sends events to every listener they concern. Must be called in the order of the commits: for a bottle,
    /// while its file is locked.
    pub fn deliver(&mut self, events: &[Event]) {
        let mut messages = Vec::new();
        for listener in &mut self.listeners {
            messages.clear();
            let mut last = None;
            for event in events {
                if listener.wants(event) {
                    last = Some(event.change.sequence);
                    if !crate::memory::is_left(messages.len() + 3 * event.size()) {
                        messages.clear();
                        encode(listener.framing, &listener.write_overflow(event.change.sequence), &mut messages);
                        continue;
                    }
                    encode(listener.framing, &listener.write_event(event), &mut messages);
                }
            }
            if let Some(sequence) = last {
                listener.send(&messages, sequence);
            }
        }
    }

    /// Sends events to the listeners of one connection only.
    pub fn deliver_within(&mut self, connection: u64, events: &[Event]) {
        let others: Vec<Listener> = self.listeners.extract_if(.., |listener| listener.connection != connection).collect();
        self.deliver(events);
        self.listeners.extend(others);
    }

    /// Tells the listeners that want to know it the quota and the number of other processes that listen, as they are
    /// at the change `sequence`.
    pub fn deliver_quota(&mut self, sequence: u64, quota: u64, others: u64) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.tells_quota) {
            let mut message = Vec::new();
            encode(listener.framing, &listener.write_quota(sequence, quota, others), &mut message);
            listener.send(&message, sequence);
        }
    }

    /// Tells every listener that changes up to `sequence` could not be delivered.
    pub fn deliver_overflow(&mut self, sequence: u64) {
        for listener in &mut self.listeners {
            let mut message = Vec::new();
            encode(listener.framing, &listener.write_overflow(sequence), &mut message);
            listener.send(&message, sequence);
        }
    }
}

impl Listener {
    /// Whether an event concerns this listener.
    fn wants(&self, event: &Event) -> bool {
        let from_itself = event.source == Some((self.connection, self.storage));
        (!from_itself || self.include_self) && self.filter.lets_through(event.change.key.as_deref())
    }

    /// Holds back an event that happened before the listener came. `false` if it lacks the values that the
    /// listener wants.
    pub fn hold(&mut self, event: &Event) -> bool {
        if !self.wants(event) {
            return true;
        }
        let mut held = self.held.take().unwrap_or_default();
        encode(self.framing, &self.write_event(event), &mut held.messages);
        held.sequence = event.change.sequence;
        self.held = Some(held);
        !(self.values && event.lacks_values())
    }

    /// Forgets what was held back.
    pub fn hold_nothing(&mut self) {
        self.held = Some(Held::default());
    }

    /// Writes the notification `storage/event`.
    fn write_event(&self, event: &Event) -> Vec<u8> {
        let Change { sequence, key, old_value, new_value } = &event.change;
        let mut message = self.begin_notification("storage/event", *sequence);
        let mut member = |name: &str, value: Option<&[u8]>| {
            message.extend_from_slice(b",\"");
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(b"\":");
            match value {
                Some(value) => write_json(value, self.ill_formed, &mut message),
                None => message.extend_from_slice(b"null"),
            }
        };
        member("key", key.as_deref());
        if self.values {
            member("oldValue", old_value.as_deref());
            member("newValue", new_value.as_deref());
        }
        member("url", Some(event.url.as_bytes()));
        message.extend_from_slice(b"}}");
        message
    }

    /// Writes the notification `storage/quota`.
    fn write_quota(&self, sequence: u64, quota: u64, others: u64) -> Vec<u8> {
        let mut message = self.begin_notification("storage/quota", sequence);
        message.extend_from_slice(b",\"quota\":");
        write_decimal(quota, &mut message);
        message.extend_from_slice(b",\"others\":");
        write_decimal(others, &mut message);
        message.extend_from_slice(b"}}");
        message
    }

    /// Writes the notification `storage/overflow`.
    fn write_overflow(&self, sequence: u64) -> Vec<u8> {
        let mut message = self.begin_notification("storage/overflow", sequence);
        message.extend_from_slice(b"}}");
        message
    }

    fn begin_notification(&self, method: &str, sequence: u64) -> Vec<u8> {
        let mut message = Vec::with_capacity(192);
        message.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
        message.extend_from_slice(method.as_bytes());
        message.extend_from_slice(b"\",\"params\":{\"subscription\":");
        write_decimal(u64::from(self.subscription), &mut message);
        message.extend_from_slice(b",\"storage\":");
        write_decimal(u64::from(self.storage), &mut message);
        message.extend_from_slice(b",\"sequence\":");
        write_decimal(sequence, &mut message);
        message
    }

    /// Sends without waiting. What the client is too slow to take is replaced by one notice of what it missed.
    fn send(&mut self, messages: &[u8], sequence: u64) {
        let notice = || {
            let mut notice = Vec::new();
            encode(self.framing, &self.write_overflow(sequence), &mut notice);
            notice
        };
        if let Some(held) = &self.held {
            let too_much = held.messages.len() + messages.len() > MAX_HELD;
            let more = if too_much { &notice() } else { messages };
            if let Some(held) = &mut self.held {
                if too_much {
                    held.messages.clear();
                }
                held.messages.extend_from_slice(more);
                held.sequence = sequence;
            }
            return;
        }
        if let Err(closed) = self.output.try_send(self.framing, messages, u64::from(self.subscription), notice) {
            tracing::debug!(?closed, connection = self.connection, "a listener is gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    fn event(sequence: u64, value: &str) -> Event {
        let change = Change { sequence, key: Some(b"k".to_vec()), old_value: None, new_value: Some(value.into()) };
        Event { change, url: "http://localhost/".into(), source: None }
    }

    fn listener(output: Output) -> Listener {
        Listener {
            connection: 1,
            subscription: 7,
            storage: 1,
            filter: Filter::All,
            values: true,
            include_self: false,
            tells_quota: false,
            framing: Framing::Lines,
            ill_formed: IllFormed::Escape,
            output,
            held: Some(Held::default()),
        }
    }

    #[test]
    fn what_waits_for_the_reply_is_bounded_and_what_it_missed_is_said() {
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        let mut listeners = Listeners::default();
        listeners.add(listener(Output::new(writer.into(), 1, None)));
        let large = "x".repeat(MAX_HELD / 4);
        for sequence in 1..=4 {
            listeners.deliver(&[event(sequence, &large)]);
        }
        listeners.deliver(&[event(5, "small")]);
        listeners.release(1, 7);
        listeners.deliver(&[event(6, "small")]);
        let told: Vec<String> = BufReader::new(reader).lines().take(3).map(|line| line.expect("lines are text")).collect();
        let parts = [("storage/overflow", "\"sequence\":4"), ("storage/event", "\"sequence\":5"), ("storage/event", "\"sequence\":6")];
        for (line, (method, sequence)) in told.iter().zip(parts) {
            assert!(line.contains(method) && line.contains(sequence), "{line:.200}");
        }
    }

    #[test]
    fn what_was_held_is_said_to_be_missed_up_to_its_end() {
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        let output = Output::new(writer.into(), 1, None);
        let mut listeners = Listeners::default();
        listeners.add(listener(output.clone()));
        // More than may wait before notifications are dropped, and more than a pipe takes.
        let reply = format!("{}\n", "x".repeat(4 << 20));
        output.send(Framing::Lines, reply.as_bytes()).expect("the pipe is open");
        // So many notifications of another subscription that its reader counts as one that does not read.
        let other = format!("{}\n", "y".repeat(1 << 20));
        for _ in 0..2 {
            output.try_send(Framing::Lines, other.as_bytes(), 99, Vec::new).expect("the pipe is open");
        }
        listeners.deliver(&[event(8, "small"), event(9, "small")]);
        listeners.release(1, 7);
        let told: Vec<String> = BufReader::new(reader).lines().take(4).map(|line| line.expect("lines are text")).collect();
        assert!(told[3].contains("storage/overflow") && told[3].contains("\"sequence\":9"), "{:.200}", told[3]);
    }
}
