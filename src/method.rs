//! What the method table knows of one method. From it come the handlers' registration and the protocol's
//! document.

use std::sync::Arc;

use jsonrpsee::core::server::MethodCallback;
use parking_lot::Mutex;
use schemars::{Schema, SchemaGenerator};

use crate::connection::Connection;
use crate::protocol::Code;

/// One row of the method table.
pub struct Method {
    /// The name.
    pub name: &'static str,
    /// Another name: the bare one of a member of the `Storage` interface.
    pub alias: Option<&'static str>,
    /// What it does, for people.
    pub description: &'static str,
    /// Who sends it.
    pub direction: Direction,
    /// Whether it gets a reply.
    pub kind: Kind,
    /// The schema of its params: an object, whose properties are in the order of positions.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its result.
    pub result: fn(&mut SchemaGenerator) -> Schema,
    /// The errors it can give, besides those that every call can.
    pub errors: &'static [Code],
    /// How it is used.
    pub example: Option<Example>,
    /// The handler; none for what the server sends, and for what the loop of the connection handles itself.
    pub callback: Option<Bind>,
}

/// Makes jsonrpsee's callback of a handler on one connection.
pub type Bind = fn(Arc<Mutex<Connection>>) -> MethodCallback;

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    ClientToServer,
    /// The server, after the client has asked for it.
    ServerToClient,
}

/// Whether a message gets a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has an id and gets exactly one reply.
    Call,
    /// It has no id and gets none.
    Notification,
}

/// Calls, each with its method and its params as JSON text.
pub type Said = &'static [(&'static str, &'static str)];

/// A call and its reply. The tests hold it with the real server.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The calls of the same connection before it.
    pub before: Said,
    /// The params as JSON text; empty for none.
    pub params: &'static str,
    /// The result as JSON text; empty for a notification.
    pub result: &'static str,
}

/// The errors that every call can give.
pub const OF_EVERY_CALL: &[Code] = &[Code::InvalidRequest, Code::InvalidParams, Code::InternalError];

impl Method {
    /// The method can give these errors.
    #[must_use]
    pub fn fails(mut self, errors: &'static [Code]) -> Self {
        self.errors = errors;
        self
    }

    /// The method is a notification.
    #[must_use]
    pub fn notification(mut self) -> Self {
        self.kind = Kind::Notification;
        self
    }

    /// The server sends it.
    #[must_use]
    pub fn from_server(mut self) -> Self {
        self.direction = Direction::ServerToClient;
        self
    }

    /// The first call of a connection with these params has this result.
    #[must_use]
    pub fn example(self, params: &'static str, result: &'static str) -> Self {
        self.example_after(&[], params, result)
    }

    /// After other calls a call with these params has this result.
    #[must_use]
    pub fn example_after(mut self, before: Said, params: &'static str, result: &'static str) -> Self {
        self.example = Some(Example { before, params, result });
        self
    }

    /// Its name as a command of `workspace/executeCommand`.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        match self.direction {
            Direction::ClientToServer => self.name.strip_prefix("storage/").map(|name| format!("webstorage.{name}")),
            Direction::ServerToClient => None,
        }
    }
}
