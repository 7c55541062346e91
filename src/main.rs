//! The `webstorage-server` binary.

fn main() {}
