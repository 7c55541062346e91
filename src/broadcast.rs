//! Broadcast: from a change of an area to the handles that listen to it (HTML, "broadcast a storage event").
//!
//! Every other handle on the area is told, never the one that made the change unless it asks for that. Each
//! listener gets the changes in the order of their commits. A listener that does not read is told, once it
//! reads again, that it has missed changes; nobody waits for it.

use std::sync::Arc;

use crate::area::Change;
use crate::dom_string::{IllFormed, write_json};
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
    /// How messages to it are framed.
    pub framing: Framing,
    /// How lone surrogates are written to it.
    pub ill_formed: IllFormed,
    /// Where messages to it go.
    pub output: Output,
    /// What it is to get once the reply to its subscription is out: a client cannot know the id before that.
    pub held: Option<Vec<u8>>,
}

/// Which keys a listener wants to hear of. A change of all keys at once concerns every filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every key.
    All,
    /// These keys.
    Keys(Vec<Vec<u8>>),
    /// The keys that begin so.
    Prefix(Vec<u8>),
}

impl Filter {
    fn lets_through(&self, key: Option<&[u8]>) -> bool {
        match (self, key) {
            (Filter::All, _) | (_, None) => true,
            (Filter::Keys(keys), Some(key)) => keys.iter().any(|wanted| wanted == key),
            (Filter::Prefix(prefix), Some(key)) => key.starts_with(prefix),
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

    /// Sends what was held back for a new listener, now that the reply to its subscription is out.
    pub fn release(&mut self, connection: u64, subscription: SubscriptionId, sequence: u64) {
        for listener in &mut self.listeners {
            if listener.connection == connection
                && listener.subscription == subscription
                && let Some(held) = listener.held.take()
                && !held.is_empty()
            {
                listener.send(&held, sequence);
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
                    encode(listener.framing, &listener.write_event(event), &mut messages);
                    last = Some(event.change.sequence);
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

    /// Holds events back that happened before the listener came.
    pub fn hold(&mut self, events: &[Event]) {
        let mut held = self.held.take().unwrap_or_default();
        for event in events.iter().filter(|event| self.wants(event)) {
            encode(self.framing, &self.write_event(event), &mut held);
        }
        self.held = Some(held);
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
        if let Some(held) = &mut self.held {
            held.extend_from_slice(messages);
            return;
        }
        let notice = || {
            let mut notice = Vec::new();
            encode(self.framing, &self.write_overflow(sequence), &mut notice);
            notice
        };
        if let Err(closed) = self.output.try_send(self.framing, messages, u64::from(self.subscription), notice) {
            tracing::debug!(?closed, connection = self.connection, "a listener is gone");
        }
    }
}
