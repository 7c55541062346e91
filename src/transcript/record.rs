//! Writes a transcript of a conversation as it happens.

use std::collections::BTreeSet;

use super::json::Json;

/// What differs from run to run and from machine to machine, by the names of members.
const VOLATILE: [&str; 9] = ["storageDir", "path", "movedTo", "file", "version", "changed", "size", "time", "processId"];

/// Whether a member of this name differs from run to run.
#[must_use]
pub fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name)
}

/// The connections of a conversation so far.
#[derive(Debug, Default)]
pub struct Recorder {
    connections: BTreeSet<u64>,
}

impl Recorder {
    /// The lines for a message: from the client if `sent`, else from the server.
    pub fn lines(&mut self, sent: bool, connection: u64, message: &[u8]) -> String {
        let mut lines = String::new();
        if self.connections.insert(connection)
            && let Some(first) = self.connections.first().filter(|first| **first != connection)
        {
            lines.push_str(&format_args!("C{connection} connect to C{first}\n").to_string());
        }
        let Ok(json) = Json::parse(message) else {
            let bytes = message.escape_ascii().to_string().replace("\\'", "'");
            let arrow = if sent { "-->frame" } else { "<--raw" };
            lines.push_str(&format_args!("C{connection}{arrow} \"{bytes}\"\n").to_string());
            return lines;
        };
        let arrow = match (sent, json.member("method")) {
            (true, _) => "-->",
            (false, None) => "<--",
            (false, Some(_)) => "<~~",
        };
        let mut text = String::new();
        write(&json, !sent, &mut text);
        lines.push_str(&format_args!("C{connection}{arrow} {text}\n").to_string());
        lines
    }
}

/// Writes a message, or a pattern that it matches again another time.
fn write(json: &Json, pattern: bool, out: &mut String) {
    match json {
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(item, pattern, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(&Json::String(name.clone()), pattern, out);
                out.push(':');
                match value {
                    Json::String(_) if pattern && is_volatile(&String::from_utf16_lossy(name)) => out.push_str("<string>"),
                    Json::Number(_) if pattern && is_volatile(&String::from_utf16_lossy(name)) => out.push_str("<number>"),
                    value => write(value, pattern, out),
                }
            }
            out.push('}');
        }
        // A dollar sign would stand for a name.
        other => out.push_str(&other.to_string().replace('$', "\\u0024")),
    }
}
