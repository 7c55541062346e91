//! Tests of the whole server, as its users meet it: through processes and pipes.

mod backpressure;
mod client;
mod document;
mod ends;
mod events;
mod files;
mod folder;
mod framing;
mod kill;
mod limits;
mod listener;
mod model;
mod peer;
mod processes;
mod replaced;
mod salvage;
mod strings;
mod transact;
mod transcripts;
mod units;
