//! Rules: a test's own hand on every frame of the network.
//!
//! What applications may do to their messages, here as over TCP, is
//! [`World::interpose`](crate::World::interpose).

use std::fmt;

use partisan_proto::wire::Frame;
use partisan_proto::{ConnectionId, Instant, interposition};

/// A frame that is about to travel.
#[derive(Debug)]
pub struct InFlight<'a> {
    /// When it was sent.
    pub at: Instant,
    /// The number of the sending node.
    pub from: usize,
    /// The number of the node at the other end.
    pub to: usize,
    /// The connection, as the sender calls it.
    pub connection: ConnectionId,
    /// The frame.
    pub frame: &'a Frame,
}

/// What becomes of a frame: as of a message that an interposer judges, and here of any frame
/// whatever. TCP itself does nothing but pass or stall; the others make the network worse than real
/// ones, frame by frame.
pub type Verdict = interposition::Verdict<Box<Frame>>;

/// Judges frames.
pub type Rule = Box<dyn FnMut(&InFlight<'_>) -> Verdict>;

/// All rules of a run, asked in the order of adding; the first that does not pass decides.
#[derive(Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Adds a rule behind the others.
    pub fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What becomes of this frame.
    pub fn judge(&mut self, frame: &InFlight<'_>) -> Verdict {
        let verdicts = self.0.iter_mut().map(|rule| rule(frame));
        verdicts.into_iter().find(|verdict| *verdict != Verdict::Pass).unwrap_or(Verdict::Pass)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.0.len())
    }
}
