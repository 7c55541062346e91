//! Calls with the replies that are expected to them, in `Content-Length` frames.

/// A call and its reply, byte for byte.
pub struct Call {
    /// The frame to send.
    pub request: Vec<u8>,
    /// The frame to come back.
    pub reply: Vec<u8>,
}

/// The handle of the first area that a connection opens.
pub const STORAGE: u32 = 1;

/// Makes calls with ascending ids of five digits, so that all are of one size.
pub struct Calls {
    next_id: u32,
}

impl Calls {
    /// Begins with the first id.
    pub fn new() -> Self {
        Calls { next_id: 10_000 }
    }

    /// A call of `method` with `params`, and its `result`, all as JSON texts.
    pub fn call(&mut self, method: &str, params: &str, result: &str) -> Call {
        let id = self.next_id;
        self.next_id = if id == 99_999 { 10_000 } else { id + 1 };
        Call {
            request: frame(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"storage/{method}","params":{params}}}"#)),
            reply: frame(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)),
        }
    }

    /// `getItem` of an item with that value, or of none.
    pub fn get(&mut self, storage: u32, key: &str, value: Option<&str>) -> Call {
        let result = value.map_or("null".to_owned(), |value| format!("\"{value}\""));
        self.call("getItem", &format!(r#"{{"storage":{storage},"key":"{key}"}}"#), &result)
    }

    /// `setItem`.
    pub fn set(&mut self, storage: u32, key: &str, value: &str) -> Call {
        self.call("setItem", &format!(r#"{{"storage":{storage},"key":"{key}","value":"{value}"}}"#), "null")
    }

    /// `removeItem`.
    pub fn remove(&mut self, storage: u32, key: &str) -> Call {
        self.call("removeItem", &format!(r#"{{"storage":{storage},"key":"{key}"}}"#), "null")
    }

    /// `key`.
    pub fn key(&mut self, storage: u32, index: usize, key: Option<&str>) -> Call {
        let result = key.map_or("null".to_owned(), |key| format!("\"{key}\""));
        self.call("key", &format!(r#"{{"storage":{storage},"index":{index}}}"#), &result)
    }

    /// `length`.
    pub fn length(&mut self, storage: u32, length: usize) -> Call {
        self.call("length", &format!(r#"{{"storage":{storage}}}"#), &length.to_string())
    }

    /// A page of `keys`.
    pub fn keys(&mut self, storage: u32, after: &str, keys: &[String]) -> Call {
        let limit = keys.len();
        let result: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        let params = format!(r#"{{"storage":{storage},"after":"{after}","limit":{limit}}}"#);
        self.call("keys", &params, &format!("[{}]", result.join(",")))
    }
}

/// The params of `storage/open`.
pub fn open_params(persistent: bool, origin: &str) -> String {
    format!(r#"{{"persistent":{persistent},"origin":"{origin}","quota":9007199254740991}}"#)
}

/// A call that opens an area; its reply is not known beforehand.
pub fn open(persistent: bool, origin: &str) -> Vec<u8> {
    frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/open","params":{}}}"#, open_params(persistent, origin)))
}

/// The key of the item number `n`, of a fixed size.
pub fn key(n: usize) -> String {
    format!("key-{n:06}")
}

/// A value of 64 bytes, another one for every `version`: SQLite does not write what has not changed.
pub fn value(n: usize, version: usize) -> String {
    format!("{n:024}-{version:039}")
}

fn frame(body: &str) -> Vec<u8> {
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
