//! The error codes, and what the `data` of an error with each of them holds.

/// Declares the codes. The fields of `data` that such an error always has come first, after a semicolon those
/// that it has where they are known.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal [$($always:literal),* ; $($sometimes:literal),*],)+) => {
        /// The code of an error.
        ///
        /// JSON-RPC's and LSP's own errors have their codes. A storage error has the legacy code of the
        /// `DOMException` that a client should throw, or one from 100 on where the exception has none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Code {
            /// Every code, as people read about them.
            pub const ALL: &[Code] = &[$(Code::$name),+];

            /// Its name, which is the `name` in the `data` of every error.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name)),+ }
            }

            /// What it means.
            #[must_use]
            pub fn description(self) -> String {
                match self { $(Code::$name => [$($doc),+].concat().trim().to_owned()),+ }
            }

            /// The fields of `data` that are always there, besides the `name`.
            #[must_use]
            pub fn always(self) -> &'static [&'static str] {
                match self { $(Code::$name => &[$($always),*]),+ }
            }

            /// The fields of `data` that are there where they are known.
            #[must_use]
            pub fn sometimes(self) -> &'static [&'static str] {
                match self { $(Code::$name => &[$($sometimes),*]),+ }
            }
        }
    };
}

codes! {
    /// The bytes are no frame, or the frame is not JSON.
    ParseError = -32700 [;],
    /// The JSON is no request, or a request that is not allowed now.
    InvalidRequest = -32600 [;],
    /// There is no method of this name.
    MethodNotFound = -32601 [;],
    /// A param is missing, unknown, of the wrong type, or out of range.
    InvalidParams = -32602 [; "param"],
    /// A fault of the server.
    InternalError = -32603 [;],
    /// The client has cancelled the call before it took effect.
    RequestCancelled = -32800 [;],
    /// What the call names does not exist.
    NotFoundError = 8 [;],
    /// Not available in this server as it was started.
    NotSupportedError = 9 [;],
    /// The handle is unknown or closed.
    InvalidStateError = 11 [;],
    /// An opaque origin has no persistent storage.
    SecurityError = 18 [;],
    /// The write does not fit. Nothing was changed.
    QuotaExceededError = 22 ["quota", "requested", "usage";],
    /// Another process kept the storage locked for too long. Nothing was changed.
    TimeoutError = 23 [;],
    /// The operating system or SQLite failed.
    UnknownError = 100 [; "sqliteCode"],
    /// The file of the area is damaged.
    DataCorruption = 101 ["path"; "movedTo"],
    /// A condition of a transaction is not met. Nothing was changed.
    ConstraintError = 102 ["unmet";],
}

impl Code {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }
}
