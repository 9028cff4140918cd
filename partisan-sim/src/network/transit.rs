//! Frames under way: sending, arriving, being held up, being let go, and orderly ends.

use partisan_proto::wire::Frame;
use partisan_proto::{CloseReason, ConnectionId, Duration, Event, Instant};

use super::Network;
use super::link::{EndState, Held, LinkRef, Side, Signal};
use crate::draw::{Label, draw, scale};
use crate::queue::Queue;
use crate::rules::{InFlight, Verdict};
use crate::world::Happening;

/// The longest that a slow line delays a frame: lines that recover must not be late for ever.
const SLOWEST: Duration = Duration::from_secs(5);

impl Network {
    /// The node sends a frame of `size` bytes; `false` when the connection is not open there.
    pub fn send(
        &mut self,
        now: Instant,
        node: usize,
        id: ConnectionId,
        frame: Frame,
        size: u32,
        queue: &mut Queue<Happening>,
    ) -> bool {
        let Some((link, side)) = self.find(node, id) else {
            return false;
        };
        let found = &self.links[link.place as usize];
        if found.end(side).state != EndState::Open {
            return false;
        }
        let to = found.end(side.other()).node;
        let view = InFlight { at: now, from: node, to: to as usize, connection: id, frame: &frame };
        match self.rules.judge(&view) {
            Verdict::Pass => self.forward(now, link, side, frame, size, None, queue),
            Verdict::Drop => {}
            Verdict::Delay(span) => {
                self.forward(now, link, side, frame, size, Some(span), queue);
            }
            Verdict::Duplicate => {
                self.forward(now, link, side, frame.clone(), size, None, queue);
                self.forward(now, link, side, frame, size, None, queue);
            }
            Verdict::Rewrite(other) => {
                self.forward(now, link, side, *other, size, None, queue);
            }
        }
        true
    }

    /// Puts a frame on its way.
    fn forward(
        &mut self,
        now: Instant,
        link: LinkRef,
        side: Side,
        frame: Frame,
        size: u32,
        delay: Option<Duration>,
        queue: &mut Queue<Happening>,
    ) {
        let found = &self.links[link.place as usize];
        let (from, to) = (found.end(side).node, found.end(side.other()).node);
        let span = self.travel_time(link, from, to);
        let speed = self.obstacles.speed(from, to);
        let capacity = self.options.capacity;
        let found = &mut self.links[link.place as usize];
        let mut ready = now;
        if let Some(speed) = speed {
            let line = Duration::from_nanos(u64::from(size) * 1_000_000_000 / speed);
            let line_free = found.line_free_mut(side);
            *line_free = ((*line_free).max(now) + line).min(now + SLOWEST);
            ready = *line_free;
        }
        let way = found.way_mut(side);
        let at = match delay {
            Some(delay) => ready + span + delay,
            None => {
                way.last_arrival = way.last_arrival.max(ready + span);
                way.last_arrival
            }
        };
        let number = way.sent;
        way.sent += 1;
        way.in_flight = way.in_flight.saturating_add(size);
        let (in_flight, congested) = (way.in_flight, way.congested);
        if in_flight > capacity && !congested {
            way.congested = true;
            queue.push(now, Happening::Net(Signal::Congested(link, side)));
        }
        let control = !frame.has_payload();
        let frame = self.parcels.put(frame);
        queue.push(at, Happening::Net(Signal::Arrive { link, from: side, number, size, frame }));
        if control && in_flight > capacity.saturating_mul(4) {
            // As a driver without room for control frames must: close, and say why.
            self.part(now, link, side, queue);
            let reason = CloseReason::Stalled;
            queue.push(now, Happening::Net(Signal::Notice { link, from: side.other(), reason }));
        }
    }

    /// A frame reaches the other end, or what stands before it.
    pub(super) fn arrive(
        &mut self,
        now: Instant,
        link: LinkRef,
        from: Side,
        number: u32,
        size: u32,
        frame: Frame,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let found = self.link(link)?;
        let (sender, receiver) = (found.end(from).node, found.end(from.other()).node);
        let (cut, is_held) = (found.way_mut(from).cut, found.is_held(from));
        if number >= cut {
            self.stuck(now, link, from, queue);
            return None;
        }
        let blocked = self.obstacles.blocks(sender, receiver);
        if blocked || is_held || self.obstacles.stalls(sender, receiver) {
            let found = &mut self.links[link.place as usize];
            found.hold(from, Held::Frame { number, size, frame });
            if blocked {
                self.stuck(now, link, from, queue);
            }
            return None;
        }
        self.take_in(now, link, from, size, frame, queue)
    }

    /// The end that is not `from` reads a frame.
    fn take_in(
        &mut self,
        now: Instant,
        link: LinkRef,
        from: Side,
        size: u32,
        frame: Frame,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let half = self.options.capacity / 2;
        let found = self.link(link)?;
        let way = found.way_mut(from);
        way.arrived += 1;
        way.in_flight = way.in_flight.saturating_sub(size);
        if way.congested && way.in_flight <= half {
            way.congested = false;
            queue.push(now, Happening::Net(Signal::Drained(link, from)));
        }
        let end = found.end(from.other());
        let (node, connection) = (end.node as usize, end.id);
        match end.state {
            EndState::Open => Some((node, Event::Received { connection, frame })),
            EndState::Dialling => None,
            EndState::Closed => {
                self.answer_from_the_grave(now, link, from, queue);
                None
            }
        }
    }

    /// A machine that is up but has no such connection says so, a dead one says nothing.
    fn answer_from_the_grave(
        &mut self,
        now: Instant,
        link: LinkRef,
        from: Side,
        queue: &mut Queue<Happening>,
    ) {
        let end = self.links[link.place as usize].end(from.other());
        let (dead, sender) = (end.node, self.links[link.place as usize].end(from).node);
        if dead != u32::MAX && self.stations[dead as usize].alive {
            let span = self.travel_time(link, dead, sender);
            // It did not hear of the end when it came; the answer is a packet of today.
            self.links[link.place as usize].way_mut(from.other()).void = false;
            let reason = CloseReason::Broken;
            let notice = Signal::Notice { link, from: from.other(), reason };
            queue.push(now + span, Happening::Net(notice));
        } else {
            self.stuck(now, link, from, queue);
        }
    }

    /// Starts the sender's patience, unless it is running already.
    fn stuck(&mut self, now: Instant, link: LinkRef, side: Side, queue: &mut Queue<Happening>) {
        let after = self.options.give_up_after;
        let way = self.links[link.place as usize].way_mut(side);
        if !way.giving_up {
            way.giving_up = true;
            queue.push(now + after, Happening::Net(Signal::GiveUp(link, side)));
        }
    }

    /// The sender's patience is over.
    pub(super) fn give_up(
        &mut self,
        now: Instant,
        link: LinkRef,
        side: Side,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let found = self.link(link)?;
        let other = found.end(side.other()).state;
        let end = found.end(side);
        let (sender, receiver) = (end.node, found.end(side.other()).node);
        let (node, connection, state) = (end.node as usize, end.id, end.state);
        let held = found.is_held(side);
        let way = found.way_mut(side);
        way.giving_up = false;
        let lost = way.cut <= way.sent && way.cut != u32::MAX;
        let stuck =
            lost || other == EndState::Closed || (held && self.obstacles.blocks(sender, receiver));
        if !stuck || state != EndState::Open {
            return None;
        }
        self.part(now, link, side, queue);
        self.end(link, side);
        Some((node, Event::Closed { connection, reason: CloseReason::Broken }))
    }

    /// What was held up goes on, one frame a call.
    pub(super) fn release(
        &mut self,
        now: Instant,
        link: LinkRef,
        from: Side,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let found = self.link(link)?;
        let (sender, receiver) = (found.end(from).node, found.end(from.other()).node);
        found.way_mut(from).releasing = false;
        if self.obstacles.blocks(sender, receiver) || self.obstacles.stalls(sender, receiver) {
            return None;
        }
        let found = &mut self.links[link.place as usize];
        let next = found.next_held(from)?;
        let more = found.is_held(from);
        let way = found.way_mut(from);
        way.releasing = more;
        let cut = way.cut;
        if more {
            queue.push(now, Happening::Net(Signal::Release(link, from)));
        }
        match next {
            Held::Frame { number, .. } if number >= cut => None,
            Held::Frame { size, frame, .. } => self.take_in(now, link, from, size, frame, queue),
            Held::Notice(reason) => self.learn(link, from.other(), reason),
        }
    }

    /// The node closes its end.
    pub fn close(
        &mut self,
        now: Instant,
        node: usize,
        id: ConnectionId,
        flush: bool,
        queue: &mut Queue<Happening>,
    ) -> bool {
        let Some((link, side)) = self.find(node, id) else {
            return false;
        };
        if flush {
            let reason = CloseReason::ClosedByPeer;
            self.announce(now, link, side, reason, queue);
        } else {
            self.part(now, link, side, queue);
        }
        self.end(link, side);
        true
    }

    /// Ends a connection without order: a part of what is under way is lost, then the other end
    /// is told.
    pub(super) fn part(
        &mut self,
        now: Instant,
        link: LinkRef,
        side: Side,
        queue: &mut Queue<Happening>,
    ) {
        self.lose(link, side);
        self.announce(now, link, side, CloseReason::ClosedByPeer, queue);
    }

    /// Loses all, some or none of the frames that are under way from `side`, the last ones first.
    pub(super) fn lose(&mut self, link: LinkRef, side: Side) {
        let seed = self.seed;
        let found = &mut self.links[link.place as usize];
        let key = found.key;
        let way = found.way_mut(side);
        let number = draw(seed, Label::PrefixLoss, key, side as u64);
        let under_way = u64::from(way.sent.saturating_sub(way.arrived));
        let kept = match number % 3 {
            0 => under_way,
            1 => 0,
            _ => scale(number, under_way + 1),
        };
        way.cut = way.cut.min(way.arrived + kept as u32);
    }

    /// Tells the other end, behind all frames, that the connection is over.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        link: LinkRef,
        side: Side,
        reason: CloseReason,
        queue: &mut Queue<Happening>,
    ) {
        let found = &self.links[link.place as usize];
        let (from, to) = (found.end(side).node, found.end(side.other()).node);
        if found.end(side.other()).state == EndState::Closed || to == u32::MAX {
            return;
        }
        let span = self.travel_time(link, from, to);
        let way = self.links[link.place as usize].way_mut(side);
        way.last_arrival = way.last_arrival.max(now + span);
        let at = way.last_arrival;
        queue.push(at, Happening::Net(Signal::Notice { link, from: side, reason }));
    }

    /// The news that the connection is over reaches the other end, or what stands before it.
    pub(super) fn notice(
        &mut self,
        _now: Instant,
        link: LinkRef,
        from: Side,
        reason: CloseReason,
        _queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let found = self.link(link)?;
        let (sender, receiver) = (found.end(from).node, found.end(from.other()).node);
        // What an end learns from its own system passes no network.
        let local = reason == CloseReason::Stalled;
        if found.way_mut(from).void && !local {
            return None;
        }
        let held = found.is_held(from);
        let obstacle = held
            || self.obstacles.blocks(sender, receiver)
            || self.obstacles.stalls(sender, receiver);
        if obstacle && !local {
            self.links[link.place as usize].hold(from, Held::Notice(reason));
            return None;
        }
        self.learn(link, from.other(), reason)
    }

    pub(super) fn learn(
        &mut self,
        link: LinkRef,
        side: Side,
        reason: CloseReason,
    ) -> Option<(usize, Event)> {
        let end = self.link(link)?.end(side);
        let (node, connection, state) = (end.node as usize, end.id, end.state);
        self.end(link, side);
        match state {
            EndState::Open => Some((node, Event::Closed { connection, reason })),
            EndState::Dialling => {
                let error = partisan_proto::OpenError::Refused;
                Some((node, Event::OpenFailed { connection, error }))
            }
            EndState::Closed => None,
        }
    }
}
