//! What fuzzers run: one function per target, each taking the fuzzer's bytes and panicking when a
//! promise of the protocol is broken.
//!
//! Nothing here needs a fuzzer: ordinary tests replay the committed inputs (`corpus/`), and
//! `cargo fuzz run <target> --features libfuzzer` looks for new ones.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod arena;
mod broadcasts;
mod deliveries;
mod handshake;
mod processes;
mod references;
pub mod statem;
mod watch;
mod wire;

use arbitrary::{Arbitrary, Unstructured};

pub use handshake::handshake;
pub use references::references;
pub use wire::{wire_decode, wire_round_trip};

/// One target: its name, which is that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("wire_decode", wire_decode),
    ("wire_round_trip", wire_round_trip),
    ("handshake", handshake),
    ("node", node),
    ("managers", managers),
    ("broadcasts", broadcasts),
    ("references", references),
    ("processes", processes),
    ("deliveries", deliveries),
    ("statem", statem::statem),
];

/// Two nodes on a network that the input steers, with events forged among the real ones. The same
/// input must lead to the same actions twice.
pub fn node(data: &[u8]) {
    let Ok(script) = arena::Script::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let first = arena::run(&script);
    assert_eq!(first, arena::run(&script), "one script, two outcomes");
}

/// As [`node`], with another manager than the full mesh: the first byte says which.
pub fn managers(data: &[u8]) {
    let Some((which, script)) = data.split_first() else {
        return;
    };
    let Ok(script) = arena::Script::arbitrary(&mut Unstructured::new(script)) else {
        return;
    };
    let first = arena::run_managed(*which, &script);
    assert_eq!(first, arena::run_managed(*which, &script), "one script, two outcomes");
}

/// Two connected nodes that broadcast, and all that a peer or an application may say about it. The
/// same input must lead to the same actions twice.
pub fn broadcasts(data: &[u8]) {
    let Ok(script) = broadcasts::Script::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let first = broadcasts::run(&script);
    assert_eq!(first, broadcasts::run(&script), "one script, two outcomes");
}

/// Two connected nodes with processes, and all that these and a hostile peer may do. The same input
/// must lead to the same actions twice.
pub fn processes(data: &[u8]) {
    let Ok(script) = processes::Script::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let first = processes::run(&script);
    assert_eq!(first, processes::run(&script), "one script, two outcomes");
}

/// Acknowledged and causal messages between two nodes whose connections break. The same input must
/// lead to the same actions twice.
pub fn deliveries(data: &[u8]) {
    let Ok(script) = deliveries::Script::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let first = deliveries::run(&script);
    assert_eq!(first, deliveries::run(&script), "one script, two outcomes");
}
