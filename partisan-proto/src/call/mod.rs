//! Calls: requests and their answers, each with exactly one outcome.
//!
//! ```text
//! caller                            server's node
//! | Request ----------------------> |  on the lane that the caller chose: after what it sent there
//! | <------------------------ Reply |  on the same connection
//! ```
//!
//! One round trip, and no monitor: the server's node knows which requests a process has not
//! answered yet, and answers them with the reason when it ends. A request is bound to the connection
//! that it went by: when that is lost, both sides know, and the call ends for
//! [`CallError::NoConnection`]. A call that timed out or was given up is taken back (`Abandon`); an
//! answer that comes later finds nobody, and is counted. Since answers are addressed to requests,
//! not to processes, none is ever taken for that of another, and anybody who holds a
//! [`ReplyTo`] may answer, on any node.
//!
//! A request is for a process, or for a *function*: what the application registered under a name,
//! to be run once for each request, all at the same time (`partisan_rpc`, `erpc`).
//!
//! After Partisan's `partisan_gen`, `partisan_rpc` and `partisan_erpc`, where an answer that comes
//! late is taken for that of the next call.

mod asked;
mod error;
mod served;
#[cfg(test)]
mod tests;
mod unsent;

pub use error::{CallError, Failure};

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::Hash;

use bytes::Bytes;

use self::asked::{Asked, AskedOf};
use self::served::{Served, ServedBy};
use self::unsent::Unsent;
use crate::action::Action;
use crate::change::Change;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ConnectionId, Incarnation, Instance, NodeId, ProcessName};
use crate::process::{Lane, ProcessId, Processes, ReplyTo, RequestId, Serial, Signal, Target};
use crate::time::Duration;
use crate::timers::Timer;
use crate::wire::{
    Frame, ProcessAt, ProcessMessage, ReplyHeader, RequestHeader, ServerAt, StableHasher,
};

/// Who is to answer a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Server {
    /// A process.
    Process(Target),
    /// A function of a node.
    Function(NodeId, ProcessName),
}

impl Server {
    /// The node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Process(target) => target.node(),
            Self::Function(node, _) => *node,
        }
    }
}

impl From<Target> for Server {
    fn from(target: Target) -> Self {
        Self::Process(target)
    }
}

impl From<ProcessId> for Server {
    fn from(process: ProcessId) -> Self {
        Self::Process(process.into())
    }
}

impl From<(NodeId, ProcessName)> for Server {
    fn from((node, name): (NodeId, ProcessName)) -> Self {
        Self::Process(Target::Name(node, name))
    }
}

/// Who is to answer a request that arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Servant {
    /// This living process.
    Process(Serial),
    /// The function of this name, if there is one.
    Function(ProcessName),
}

/// A request that arrived: what [`Action::Serve`] hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// Who is to answer.
    pub servant: Servant,
    /// What is asked.
    pub payload: Bytes,
}

/// What a call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it is called; its owner is the caller.
    pub request: RequestId,
    /// Who is to answer.
    pub server: Server,
    /// What is asked.
    pub payload: Bytes,
    /// How long to wait; `None` for ever.
    pub timeout: Option<Duration>,
    /// How it travels.
    pub lane: Lane,
}

/// How often what happened to calls on a node, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CallCounters {
    /// Calls from here.
    pub asked: u64,
    /// Requests that arrived here and were handed to a servant.
    pub served: u64,
    /// Requests that were turned away since too many were served.
    pub overloaded: u64,
    /// Calls that timed out.
    pub timeouts: u64,
    /// Answers that nobody waited for any more.
    pub late: u64,
    /// Answers that could not be sent, since there is no connection to the caller or no room.
    pub unsent: u64,
}

/// What calls need of the node around them.
pub(crate) trait Wires {
    /// Sends a frame with a payload to a connected peer, if it may be sent now; says by which
    /// connection.
    fn transmit_by(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        lane: Lane,
        frame: Frame,
    ) -> Result<ConnectionId, CommandError>;

    /// Whether a connection is open.
    fn is_open(&self, connection: ConnectionId) -> bool;

    /// Sends a frame with a payload by a connection that a peer's frame came by, if it may be sent
    /// now.
    fn transmit_back(
        &mut self,
        cx: &mut Context<'_>,
        by: ConnectionId,
        frame: Frame,
    ) -> Result<(), CommandError>;
}

/// The calls of a node, from both sides.
#[derive(Debug)]
pub(crate) struct Calls {
    /// The incarnation that the node was started in.
    birth: Incarnation,
    asked: Asked,
    served: Served,
    /// What is to be taken back once there is room on the connection that it went by.
    unsaid: BTreeMap<ConnectionId, Vec<RequestId>>,
    unsent: Unsent,
    counters: CallCounters,
}

impl Calls {
    pub(crate) fn new(birth: Incarnation) -> Self {
        Self {
            birth,
            asked: Asked::default(),
            served: Served::default(),
            unsaid: BTreeMap::new(),
            unsent: Unsent::default(),
            counters: CallCounters::default(),
        }
    }

    /// A process of this node asks.
    pub(crate) fn ask(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        processes: &Processes,
        call: Call,
    ) {
        let Call { request, server, payload, timeout, lane } = call;
        if self.asked.contains(request) {
            return;
        }
        self.counters.asked += 1;
        let limit = cx.config.calls.max_asked;
        let me = cx.me.instance.node;
        let caller = ProcessId { node: me, birth: self.birth, serial: request.owner };
        let (node, to) = locate(server);
        let itself = node == me && processes.find(&to) == Some(caller.serial);
        let by = if itself {
            Err(CallError::CallingItself)
        } else if self.asked.len() >= limit {
            Err(CallError::TooManyCalls { limit })
        } else if node == me {
            Ok(None)
        } else {
            let header = RequestHeader { birth: caller.birth, request, to: to.clone() };
            let frame = Frame::Request { header: header.into(), payload: payload.clone() };
            wires.transmit_by(cx, node, lane, frame).map(Some).map_err(CallError::NotSent)
        };
        match by {
            Err(error) => answer(cx, request, Err(error)),
            Ok(by) => {
                self.asked.add(request, AskedOf { node, by });
                if let Some(timeout) = timeout {
                    cx.set_timer(Timer::Request(request), timeout);
                }
                if node == me {
                    let reply_to = ReplyTo { node, birth: caller.birth, request };
                    self.serve(cx, wires, processes, (reply_to, None), to, payload);
                }
            }
        }
    }

    /// A request arrived.
    pub(crate) fn requested(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        processes: &Processes,
        (from, by): (Instance, ConnectionId),
        (header, payload): (RequestHeader, Bytes),
    ) {
        let RequestHeader { birth, request, to } = header;
        let reply_to = ReplyTo { node: from.node, birth, request };
        self.serve(cx, wires, processes, (reply_to, Some(by)), to, payload);
    }

    fn serve(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        processes: &Processes,
        (reply_to, by): (ReplyTo, Option<ConnectionId>),
        to: ServerAt,
        payload: Bytes,
    ) {
        let servant = match (processes.find(&to), to) {
            (Some(serial), _) => Ok(Servant::Process(serial)),
            (None, ServerAt::Function(name)) => Ok(Servant::Function(name)),
            (None, _) => Err(Failure::NoProcess),
        };
        let failure = match servant {
            Err(failure) => failure,
            Ok(servant) => {
                let process = match &servant {
                    Servant::Process(serial) => Some(*serial),
                    Servant::Function(_) => None,
                };
                let limit = cx.config.calls.max_served;
                match self.served.add(reply_to, ServedBy { process, by }, limit) {
                    Some(true) => {
                        self.counters.served += 1;
                        let request = Request { reply_to, servant, payload };
                        return cx.act(Action::Serve(request));
                    }
                    // A peer that numbers two requests alike gets one answer.
                    Some(false) => return,
                    None => {
                        self.counters.overloaded += 1;
                        Failure::Overloaded
                    }
                }
            }
        };
        self.send_reply(cx, wires, reply_to, by, Err(failure));
    }

    /// Somebody on this node answers a request; the first answer counts.
    pub(crate) fn reply(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        reply_to: ReplyTo,
        result: Result<Bytes, Failure>,
    ) {
        let by = self.served.take(reply_to).and_then(|served| served.by);
        self.send_reply(cx, wires, reply_to, by, result);
    }

    fn send_reply(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        reply_to: ReplyTo,
        by: Option<ConnectionId>,
        result: Result<Bytes, Failure>,
    ) {
        if reply_to.node == cx.me.instance.node {
            let ReplyTo { birth, request, .. } = reply_to;
            let result = result.map_err(CallError::Failed);
            return self.outcome(cx, wires, birth, request, None, result);
        }
        let mut sent = transmit(cx, wires, reply_to, by, result.clone());
        if let Err(CommandError::PayloadTooLarge { .. }) = sent {
            sent = transmit(cx, wires, reply_to, by, Err(Failure::AnswerTooLarge));
        }
        if let (Some(by), Err(error)) = (by, &sent)
            && passes(error)
            && self.unsent.add(by, (reply_to, result), cx.config.calls.max_served)
        {
            return;
        }
        self.counters.unsent += u64::from(sent.is_err());
    }

    /// An answer arrived.
    pub(crate) fn replied(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        by: ConnectionId,
        header: ReplyHeader,
        payload: Bytes,
    ) {
        let ReplyHeader { birth, request, failure } = header;
        let result = match failure {
            None => Ok(payload),
            Some(failure) => Err(CallError::Failed(failure)),
        };
        self.outcome(cx, wires, birth, request, Some(by), result);
    }

    /// An answer to a request of some run of this node.
    fn outcome(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        birth: Incarnation,
        request: RequestId,
        by: Option<ConnectionId>,
        result: Result<Bytes, CallError>,
    ) {
        if birth == self.birth {
            self.finish(cx, wires, request, by, result);
        } else {
            self.counters.late += 1;
        }
    }

    /// A call is over. Whoever was asked and did not answer itself need not any more.
    fn finish(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        request: RequestId,
        by: Option<ConnectionId>,
        result: Result<Bytes, CallError>,
    ) {
        let Some(asked) = self.asked.take(request) else {
            self.counters.late += 1;
            return;
        };
        cx.timers.cancel(Timer::Request(request));
        if asked.by != by {
            self.excuse(cx, wires, asked, request);
        }
        answer(cx, request, result);
    }

    /// Whoever was asked need not answer any more.
    fn excuse(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        asked: AskedOf,
        request: RequestId,
    ) {
        match asked.by {
            Some(connection) => self.take_back(cx, wires, connection, request),
            None => {
                self.served.take(ReplyTo { node: asked.node, birth: self.birth, request });
            }
        }
    }

    /// The caller does not wait any more: no answer comes after this.
    pub(crate) fn abandon(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        request: RequestId,
    ) {
        let Some(asked) = self.asked.take(request) else { return };
        cx.timers.cancel(Timer::Request(request));
        self.excuse(cx, wires, asked, request);
    }

    /// Takes a request back, behind it on the connection that it went by.
    fn take_back(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        by: ConnectionId,
        request: RequestId,
    ) {
        let message = ProcessMessage::Abandon { birth: self.birth, request };
        let sent = wires.transmit_back(cx, by, Frame::Signal(Box::new(message)));
        if sent.is_err_and(|error| passes(&error)) {
            self.unsaid.entry(by).or_default().push(request);
        }
    }

    /// There is room again on a connection, or its peer is not parted from this node any more.
    pub(crate) fn drained(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        connection: ConnectionId,
    ) {
        for request in self.unsaid.remove(&connection).unwrap_or_default() {
            self.take_back(cx, wires, connection, request);
        }
        while let Some((reply_to, result)) = self.unsent.next(connection) {
            let sent = transmit(cx, wires, reply_to, Some(connection), result.clone());
            if sent.as_ref().is_err_and(passes) {
                return self.unsent.put_back(connection, (reply_to, result));
            }
            self.counters.unsent += u64::from(sent.is_err());
        }
    }

    /// A peer's caller does not wait any more.
    pub(crate) fn abandoned(&mut self, from: Instance, birth: Incarnation, request: RequestId) {
        self.served.take(ReplyTo { node: from.node, birth, request });
    }

    /// A call takes too long.
    pub(crate) fn fire(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        request: RequestId,
    ) {
        if self.asked.contains(request) {
            self.counters.timeouts += 1;
            self.abandon(cx, wires, request);
            answer(cx, request, Err(CallError::Timeout));
        }
    }

    pub(crate) fn change(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, change: &Change) {
        match change {
            Change::ProcessEnded { process, reason } => {
                for request in self.asked.of(*process) {
                    self.abandon(cx, wires, request);
                }
                for reply_to in self.served.of(*process) {
                    let failure = Failure::Exited(reason.clone());
                    self.reply(cx, wires, reply_to, Err(failure));
                }
            }
            Change::Partitioned => {
                let unsaid = self.unsaid.keys().copied();
                let waiting: BTreeSet<ConnectionId> =
                    unsaid.chain(self.unsent.connections()).collect();
                for connection in waiting {
                    self.drained(cx, wires, connection);
                }
            }
            Change::LaneClosed { node, connection } => {
                self.unsaid.remove(connection);
                self.counters.unsent += self.unsent.retain(|other| other != *connection) as u64;
                self.served.forget_connection(*node, *connection);
                for request in self.asked.by(*node, Some(*connection)) {
                    self.finish(cx, wires, request, None, Err(CallError::NoConnection));
                }
            }
            Change::PeerDown { instance, .. } => {
                // The lanes of a session that is over are not told of one by one.
                self.unsaid.retain(|connection, _| wires.is_open(*connection));
                self.counters.unsent += self.unsent.retain(|other| wires.is_open(other)) as u64;
                self.served.forget_node(instance.node);
                for request in self.asked.by(instance.node, None) {
                    self.finish(cx, wires, request, None, Err(CallError::NoConnection));
                }
            }
            _ => {}
        }
    }

    /// How many calls wait for answers, and how many for being answered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.asked.len(), self.served.len())
    }

    pub(crate) const fn counters(&self) -> CallCounters {
        self.counters
    }

    pub(crate) fn fingerprint(&self, hasher: &mut StableHasher) {
        self.asked.hash(hasher);
        self.served.hash(hasher);
        self.unsaid.hash(hasher);
        self.unsent.hash(hasher);
    }
}

/// Whether what could not be sent for this reason can be later, on the same connection.
const fn passes(error: &CommandError) -> bool {
    matches!(error, CommandError::QueueFull(_) | CommandError::Partitioned(_))
}

fn transmit(
    cx: &mut Context<'_>,
    wires: &mut impl Wires,
    ReplyTo { node, birth, request }: ReplyTo,
    by: Option<ConnectionId>,
    result: Result<Bytes, Failure>,
) -> Result<(), CommandError> {
    let (failure, payload) = match result {
        Ok(payload) => (None, payload),
        Err(failure) => (Some(failure), Bytes::new()),
    };
    let header = ReplyHeader { birth, request, failure };
    let frame = Frame::Reply { header: header.into(), payload };
    match by {
        Some(connection) => wires.transmit_back(cx, connection, frame),
        None => wires.transmit_by(cx, node, Lane::default(), frame).map(|_| ()),
    }
}

/// Tells a caller the outcome.
fn answer(cx: &mut Context<'_>, request: RequestId, result: Result<Bytes, CallError>) {
    let signal = Signal::Answer { number: request.number, result };
    cx.act(Action::Signal { process: request.owner, signal });
}

/// A server's node, and what it is there.
fn locate(server: Server) -> (NodeId, ServerAt) {
    match server {
        Server::Process(Target::Process(ProcessId { node, birth, serial })) => {
            (node, ServerAt::Process(ProcessAt { birth, serial }))
        }
        Server::Process(Target::Name(node, name)) => (node, ServerAt::Name(name)),
        Server::Function(node, name) => (node, ServerAt::Function(name)),
    }
}
