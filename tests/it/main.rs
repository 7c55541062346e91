//! Tests of the whole server, as its users meet it: through processes and pipes.

mod document;
mod framing;
mod peer;
mod reference;
mod salvage;
mod transact;
mod transcripts;
mod typescript;
