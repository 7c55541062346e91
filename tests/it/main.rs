//! Tests of the whole server, as its users meet it: through processes and pipes.

mod backpressure;
mod cancellation;
mod client;
mod conformance;
mod document;
mod ends;
mod events;
mod files;
mod folder;
mod framing;
mod journal;
mod kill;
mod listener;
mod model;
mod other_programs;
mod overflow;
mod peer;
mod processes;
mod reference;
mod replaced;
mod salvage;
mod strings;
mod transact;
mod transcripts;
mod typescript;
mod units;
