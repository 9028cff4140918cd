//! One step: an event handled by a node, and everything it asks for performed.

use bytes::BytesMut;
use partisan_proto::config::Compression;
use partisan_proto::wire::{self, COMPRESS_FROM, Decoded, Frame};
use partisan_proto::{
    Action, ChannelOptions, ConnectionId, ConnectionInfo, Event, Instant, Outbox, QuestionId,
    Serial, Signal, Ticket, Timer,
};

use super::{Happening, Wire, World};
use crate::check::{Violation, ViolationKind};
use crate::draw::mix;
use crate::network::estimated_size;

/// What kind of event a node handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the event of the same name")]
pub enum Happened {
    Start,
    Accepted(ConnectionId),
    Opened(ConnectionId),
    OpenFailed(ConnectionId),
    Received(ConnectionId),
    Closed(ConnectionId),
    Congested(ConnectionId),
    Drained(ConnectionId),
    Command(Ticket),
    Answered(QuestionId),
    Process(Serial),
    Wake,
}

impl Happened {
    fn of(event: &Event) -> Self {
        match event {
            Event::Accepted { connection } => Self::Accepted(*connection),
            Event::Opened { connection } => Self::Opened(*connection),
            Event::OpenFailed { connection, .. } => Self::OpenFailed(*connection),
            Event::Received { connection, .. } => Self::Received(*connection),
            Event::Closed { connection, .. } => Self::Closed(*connection),
            Event::Congested { connection } => Self::Congested(*connection),
            Event::Drained { connection } => Self::Drained(*connection),
            Event::Command { ticket, .. } => Self::Command(*ticket),
            Event::Answered { id, .. } => Self::Answered(*id),
            Event::Process { process, .. } => Self::Process(*process),
            Event::Wake => Self::Wake,
        }
    }

    const fn code(self) -> u64 {
        match self {
            Self::Start => 0,
            Self::Accepted(id) => 1 | id.as_u64() << 4,
            Self::Opened(id) => 2 | id.as_u64() << 4,
            Self::OpenFailed(id) => 3 | id.as_u64() << 4,
            Self::Received(id) => 4 | id.as_u64() << 4,
            Self::Closed(id) => 5 | id.as_u64() << 4,
            Self::Congested(id) => 6 | id.as_u64() << 4,
            Self::Drained(id) => 7 | id.as_u64() << 4,
            Self::Command(ticket) => 8 | ticket.0 << 4,
            Self::Wake => 9,
            Self::Answered(id) => 10 | id.0 << 4,
            Self::Process(serial) => 11 | serial.0 << 4,
        }
    }
}

/// What a checker sees: a node has handled an event, and nothing it asks for is done yet.
#[derive(Debug)]
pub struct Step<'a> {
    /// When.
    pub now: Instant,
    /// The number of the node.
    pub node: usize,
    /// What it handled.
    pub happened: Happened,
    /// What the application or a process told it, if that was it.
    pub told: Option<&'a Event>,
    /// What it asks for.
    pub actions: &'a [Action],
    /// When it wants to be called again.
    pub wake_at: Option<(Instant, Timer)>,
}

/// What the hash of a run remembers of an action.
fn code(action: &Action) -> u64 {
    match action {
        Action::Open { connection, .. } => 1 | connection.as_u64() << 4,
        Action::Send { connection, .. } => 2 | connection.as_u64() << 4,
        Action::Close { connection, flush, .. } => {
            3 | u64::from(*flush) << 63 | connection.as_u64() << 4
        }
        Action::Deliver(delivery) => 4 | (delivery.payload.len() as u64) << 4,
        Action::Reply { ticket, result } => 5 | u64::from(result.is_ok()) << 63 | ticket.0 << 4,
        Action::Ask { id, .. } => 8 | id.0 << 4,
        Action::Persist(bytes) => 6 | (bytes.len() as u64) << 4,
        Action::Notify(_) => 7,
        Action::DeliverBroadcast(message) => 9 | message.id.sequence << 4,
        Action::Signal { process, signal } => 10 | process.0 << 4 | kind(signal) << 56,
        Action::Serve(request) => 11 | request.reply_to.request.number << 4,
        Action::End { process, .. } => 12 | process.0 << 4,
    }
}

const fn kind(signal: &Signal) -> u64 {
    match signal {
        Signal::Down { .. } => 1,
        Signal::NodeLost { .. } => 2,
        Signal::Exit { .. } => 3,
        Signal::NodeUp { .. } => 4,
        Signal::NodeDown { .. } => 5,
        Signal::Answer { .. } => 6,
        Signal::Timer { .. } => 7,
        Signal::Members { .. } => 8,
        _ => 0,
    }
}

/// Whether an event is kept for the checkers.
const fn is_told(event: &Event) -> bool {
    matches!(event, Event::Command { .. } | Event::Process { .. })
}

impl World {
    /// Gives an event to a node, if its interposers let it pass.
    pub(super) fn deliver(&mut self, number: usize, event: Event) {
        if !self.interposing {
            return self.hand_over(number, event);
        }
        if let Some(event) = self.shown(number, event) {
            self.hand_over(number, event);
        }
    }

    /// Gives an event to a node, now or, if its time stands still, when it goes on.
    pub(super) fn hand_over(&mut self, number: usize, event: Event) {
        let host = &mut self.hosts[number];
        if host.paused {
            host.rest.backlog.push_back(event);
            return;
        }
        let Some(node) = host.node.as_mut() else {
            return;
        };
        let happened = Happened::of(&event);
        if let Some(trace) = &mut self.trace {
            trace.event(self.now, number, &event);
        }
        let told = (!self.checkers.is_empty() && is_told(&event)).then(|| event.clone());
        let mut out = std::mem::take(&mut self.out);
        node.handle(self.now, event, &mut out);
        self.after(number, (happened, told.as_ref()), &mut out);
        self.out = out;
    }

    /// Everything that follows a node's turn.
    pub(super) fn after(
        &mut self,
        number: usize,
        (happened, told): (Happened, Option<&Event>),
        out: &mut Outbox,
    ) {
        self.events += 1;
        let mut hash = mix(self.hash ^ self.now.as_nanos());
        hash = mix(hash ^ (number as u64) << 40 ^ happened.code());
        for action in &out.actions {
            hash = mix(hash ^ code(action));
        }
        self.hash = hash;
        if let Some(trace) = &mut self.trace {
            for action in &out.actions {
                trace.action(self.now, number, action);
            }
        }
        if !self.checkers.is_empty() {
            self.let_check(number, (happened, told), out);
        }
        for action in out.actions.drain(..) {
            self.perform(number, action);
        }
        self.reschedule(number, out.wake_at);
    }

    fn let_check(
        &mut self,
        node: usize,
        (happened, told): (Happened, Option<&Event>),
        out: &Outbox,
    ) {
        let (now, actions, wake_at) = (self.now, &out.actions[..], out.wake_at);
        let step = Step { now, node, happened, told, actions, wake_at };
        let mut checkers = std::mem::take(&mut self.checkers);
        let mut found = Vec::new();
        for checker in &mut checkers {
            checker.on_step(&step, self, &mut found);
        }
        self.checkers = checkers;
        self.violations.append(&mut found);
    }

    fn perform(&mut self, number: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Open { connection, addresses, timeout } => {
                self.network.dial(now, number, connection, addresses, timeout, &mut self.queue);
            }
            Action::Send { connection, frame } => self.send_out(number, connection, frame),
            Action::Close { connection, flush, .. } => {
                self.network.close(now, number, connection, flush, &mut self.queue);
            }
            Action::Deliver(delivery) => {
                let hidden = !self.delivered_to_process(number, &delivery)
                    && self.is_for_store(number, &delivery);
                if !hidden && self.options.record {
                    self.hosts[number].rest.observed().deliveries.push((now, delivery));
                }
            }
            Action::DeliverBroadcast(message) => {
                if self.options.record {
                    self.hosts[number].rest.observed().broadcasts.push((now, message));
                }
            }
            Action::Reply { ticket, result } => {
                self.answered(number, ticket, result.as_ref().err());
                if self.options.record {
                    self.hosts[number].rest.observed().replies.insert(ticket, result);
                }
            }
            Action::Signal { process, signal } => self.signalled(number, process, signal),
            Action::Serve(request) => self.serve(number, request),
            Action::End { process, .. } => self.process_ended(number, process),
            Action::Ask { id, question } => self.asked(number, id, &question),
            Action::Persist(bytes) => self.hosts[number].rest.disk = Some(bytes),
            Action::Notify(notification) => {
                if self.options.record {
                    self.hosts[number].rest.observed().notifications.push((now, notification));
                }
            }
        }
    }

    pub(super) fn transmit(&mut self, number: usize, connection: ConnectionId, frame: Frame) {
        self.frames += 1;
        let (frame, size) = match self.options.wire {
            Wire::Typed => {
                let size = estimated_size(&frame);
                (frame, size)
            }
            Wire::Encoded => match self.through_the_codec(number, connection, frame) {
                Ok(passed) => passed,
                Err(text) => {
                    let kind = ViolationKind::Codec;
                    return self.report(Violation::new(kind, self.now, Some(number), text));
                }
            },
        };
        let sent = self.network.send(self.now, number, connection, frame, size, &mut self.queue);
        let untold = |event: &Event| matches!(event, Event::Closed { connection: ended, .. } if *ended == connection);
        if !sent && !self.hosts[number].rest.backlog.iter().any(untold) {
            let text = format!("sends on {connection:?}, which is not open");
            self.report(Violation::new(ViolationKind::SendOnClosed, self.now, Some(number), text));
        }
    }

    fn through_the_codec(
        &mut self,
        number: usize,
        by: ConnectionId,
        frame: Frame,
    ) -> Result<(Frame, u32), String> {
        self.buffer.clear();
        wire::encode(&frame, &mut self.buffer);
        let mut bytes = BytesMut::from(&self.buffer[..]);
        if frame.payload_frame_len() >= COMPRESS_FROM && self.compresses(number, by) {
            let mut shorter = Vec::new();
            if wire::compress_frame(&self.buffer, &mut shorter) {
                bytes = BytesMut::from(&shorter[..]);
            }
        }
        let size = bytes.len() as u32;
        match wire::decode(&mut bytes, u32::MAX) {
            Ok(Decoded::Frame(decoded)) if bytes.is_empty() && decoded == frame => {
                Ok((decoded, size))
            }
            other => Err(format!("{frame:?} came back from the codec as {other:?}")),
        }
    }

    /// Whether a node compresses what it sends by a connection.
    fn compresses(&self, number: usize, by: ConnectionId) -> bool {
        let host = &self.hosts[number];
        let channels = &host.rest.config.channels;
        let plain = |options: ChannelOptions| options.compression == Compression::None;
        let Some(node) = host.node.as_ref() else {
            return false;
        };
        if channels.iter().all(|(_, _, options)| plain(options)) {
            return false;
        }
        let lanes = node.connections();
        let lane = lanes.iter().find(|one| one.connection == by);
        let agreed = |one: &ConnectionInfo| {
            let peer = node.routes().peer(one.peer);
            peer.is_some_and(|peer| peer.compresses(channels, one.channel))
        };
        lane.is_some_and(agreed)
    }

    fn reschedule(&mut self, number: usize, wake_at: Option<(Instant, Timer)>) {
        let host = &mut self.hosts[number];
        if let Some((at, _)) = wake_at
            && at < host.wake
        {
            host.wake = at;
            host.wake_generation = host.wake_generation.wrapping_add(1);
            let (node, generation) = (number as u32, host.wake_generation);
            self.queue.push(at, Happening::Wake { node, generation });
        }
    }
}
