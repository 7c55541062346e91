//! The HTML standard's Web Storage over JSON-RPC 2.0, on SQLite.
