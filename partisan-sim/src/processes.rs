//! The processes of a simulated node: pure machines ([`Actor`]) with their mailboxes.
//!
//! The same machine runs under tokio unchanged. Here each takes one input at a time, a little while
//! after it came, so that what is in a mailbox may still be taken out of it; the while is drawn from
//! the seed. A node without processes has nothing of this.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use partisan_proto::call::Failure;
use partisan_proto::process::{Actor, Input, SpawnOptions};
use partisan_proto::{Duration, ExitReason, ProcessAct, Serial, Ticket};

use crate::world::Then;

/// How many messages a mailbox takes; one more is dropped and counted
/// ([`ProcessTraffic::overflowed`]), and a request is answered [`Failure::Overloaded`]. Signals are
/// always taken.
///
/// The driver for TCP stops reading the lane instead. The simulator does not: a frame has arrived
/// for it when the core has handled it, and what a lane that is not read does to both cores is what
/// its clogged and slow connections do ([`FaultClass`](crate::fault::FaultClass)).
pub const MAILBOX: usize = 1_024;
/// How many bytes of messages and requests a mailbox takes.
pub const MAILBOX_BYTES: usize = 16 << 20;

/// What a node runs from each of its starts: asked with the number of the node and of its start.
pub type Program = Rc<dyn Fn(usize, u32) -> Vec<(Box<dyn Actor>, SpawnOptions)>>;

/// A function that nodes run for requests (`rpc`): for what is asked, how long it takes and what it
/// answers.
pub type Function = Rc<dyn Fn(&Bytes) -> (Duration, Result<Bytes, Failure>)>;

/// How often what happened to what was for processes of a node, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessTraffic {
    /// Messages that came to a process.
    pub delivered: u64,
    /// Messages dropped since their process is gone, or of an earlier run of the node, or nobody
    /// has the name.
    pub undeliverable: u64,
    /// Messages and requests that found the mailbox full.
    pub overflowed: u64,
    /// Warnings that processes reported.
    pub warnings: u64,
    /// Errors that processes reported.
    pub errors: u64,
}

/// The processes of one run of a node.
#[derive(Default)]
pub(crate) struct Processes {
    pub(crate) running: BTreeMap<Serial, Running>,
    last: u64,
    /// Commands whose answer decides about a process.
    pub(crate) awaited: BTreeMap<Ticket, (Serial, Awaited)>,
    pub(crate) traffic: ProcessTraffic,
    /// How often a process took an input: part of what is drawn.
    turns: u64,
    /// What the node itself asked, by number, and the last number.
    expected: BTreeMap<u64, Then>,
    asked: u64,
}

/// What depends on an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Whether the process comes to life; and which other one wanted that, and how, if one did.
    Spawn(Option<(Serial, SpawnOptions)>),
    /// Whether it has the name, without which it ends.
    Register,
}

/// One process.
pub(crate) struct Running {
    /// Away while it takes an input.
    pub(crate) actor: Option<Box<dyn Actor>>,
    pub(crate) numbers: u64,
    /// Whether it has been told of its start.
    pub(crate) started: bool,
    /// Whether its next turn is planned.
    pub(crate) planned: bool,
    /// Why it must end at its next turn.
    pub(crate) condemned: Option<ExitReason>,
    mailbox: VecDeque<Input>,
    /// Of the messages and requests in the mailbox.
    count: usize,
    bytes: usize,
}

impl Processes {
    /// A number that no process of this run had.
    pub(crate) const fn serial(&mut self) -> Serial {
        self.last += 1;
        Serial(self.last)
    }

    /// Numbers what the node itself asks; says whether it is the first thing that it asks.
    pub(crate) fn expect_answer(&mut self, then: Then) -> (u64, bool) {
        self.asked += 1;
        self.expected.insert(self.asked, then);
        (self.asked, self.asked == 1)
    }

    pub(crate) fn take_expected(&mut self, number: u64) -> Option<Then> {
        self.expected.remove(&number)
    }

    pub(crate) fn add(&mut self, serial: Serial, actor: Box<dyn Actor>) {
        self.running.insert(serial, Running::new(actor));
    }

    pub(crate) const fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}

impl Running {
    const fn new(actor: Box<dyn Actor>) -> Self {
        Self {
            actor: Some(actor),
            numbers: 0,
            started: false,
            planned: false,
            condemned: None,
            mailbox: VecDeque::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// Whether it has anything to do.
    pub(crate) fn is_due(&self) -> bool {
        self.condemned.is_some() || !self.started || !self.mailbox.is_empty()
    }

    /// Puts an input into the mailbox; `false` when there is no room.
    pub(crate) fn put(&mut self, input: Input) -> bool {
        let size = size(&input);
        if let Some(size) = size {
            if self.count >= MAILBOX || self.bytes.saturating_add(size) > MAILBOX_BYTES {
                return false;
            }
            self.count += 1;
            self.bytes += size;
        }
        self.mailbox.push_back(input);
        true
    }

    /// Takes the next input.
    pub(crate) fn take(&mut self) -> Option<Input> {
        let input = self.mailbox.pop_front()?;
        if let Some(size) = size(&input) {
            self.count -= 1;
            self.bytes -= size;
        }
        Some(input)
    }

    /// Takes out of the mailbox what an act says is not wanted any more.
    pub(crate) fn flush(&mut self, act: &ProcessAct) {
        if let Some(number) = act.revokes() {
            self.mailbox.retain(|input| !input.is_about(number));
        }
    }
}

/// What an input takes of the room in a mailbox, if it does.
fn size(input: &Input) -> Option<usize> {
    match input {
        Input::Message { payload, .. } | Input::Request { payload, .. } => Some(payload.len()),
        Input::Signal(_) => None,
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actors = self.running.iter().map(|(serial, process)| (serial, &process.actor));
        f.debug_map().entries(actors).finish()
    }
}
