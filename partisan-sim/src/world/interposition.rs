//! Interposers of simulated nodes: the same as over TCP, by the same clock as everything.

use partisan_proto::interposition::{Fate, Interposer, Interposers, Kind, Passing, Side, rewrite};
use partisan_proto::wire::Frame;
use partisan_proto::{ConnectionId, Event};

use super::{Happening, World};

/// A message that an interposer delayed.
#[derive(Debug)]
pub(super) struct Delayed {
    node: usize,
    /// Of which start of the node.
    life: u32,
    side: Side,
    connection: ConnectionId,
    frame: Frame,
    times: u8,
}

impl World {
    /// Shows every message that leaves a node or comes to it to `interposer`, behind those added
    /// before; one of this name is replaced. It stays when the node is restarted.
    pub fn interpose(&mut self, node: usize, name: &str, interposer: impl Interposer + 'static) {
        self.interposing = true;
        let interposers = &mut self.hosts[node].rest.interposers;
        interposers.get_or_insert_default().add(name, interposer);
    }

    /// Asks the interposer of this name on a node no more; says whether there was one.
    pub fn remove_interposer(&mut self, node: usize, name: &str) -> bool {
        let interposers = &mut self.hosts[node].rest.interposers;
        let removed = interposers.as_mut().is_some_and(|all| all.remove(name));
        interposers.take_if(|all| all.is_empty());
        removed
    }

    /// The names of the interposers of a node, in the order of asking.
    pub fn interposers(&self, node: usize) -> impl Iterator<Item = &str> {
        self.hosts[node].rest.interposers.iter().flat_map(|all| all.names())
    }

    /// A node sends a frame, and its interposers are asked.
    pub(super) fn send_out(&mut self, number: usize, connection: ConnectionId, frame: Frame) {
        if !self.interposing {
            return self.transmit(number, connection, frame);
        }
        if let Some((frame, times)) = self.judged(number, Side::Sending, connection, frame) {
            for _ in 1..times {
                self.transmit(number, connection, frame.clone());
            }
            self.transmit(number, connection, frame);
        }
    }

    /// What is left of an event once interposers were asked.
    pub(super) fn shown(&mut self, number: usize, event: Event) -> Option<Event> {
        let Event::Received { connection, frame } = event else {
            return Some(event);
        };
        let (frame, times) = self.judged(number, Side::Receiving, connection, frame)?;
        for _ in 1..times {
            let frame = frame.clone();
            self.hand_over(number, Event::Received { connection, frame });
        }
        Some(Event::Received { connection, frame })
    }

    /// What is left of a frame now, and how many times it passes.
    fn judged(
        &mut self,
        number: usize,
        side: Side,
        connection: ConnectionId,
        frame: Frame,
    ) -> Option<(Frame, u8)> {
        let Fate::Passes { rewritten, delay, copies } = self.fate(number, side, connection, &frame)
        else {
            return None;
        };
        let frame = match rewritten {
            Some(payload) => rewrite(frame, payload),
            None => frame,
        };
        let times = copies.saturating_add(1);
        if delay.is_zero() {
            return Some((frame, times));
        }
        let life = self.hosts[number].rest.births;
        let delayed = Delayed { node: number, life, side, connection, frame, times };
        let place = self.delayed.last_key_value().map_or(0, |(last, _)| last + 1);
        self.delayed.insert(place, delayed);
        self.queue.push(self.now + delay, Happening::Interposed(place));
        None
    }

    fn fate(&mut self, number: usize, side: Side, by: ConnectionId, frame: &Frame) -> Fate {
        let host = &mut self.hosts[number];
        let (Some(all), Some(node)) = (&mut host.rest.interposers, &host.node) else {
            return Fate::UNTOUCHED;
        };
        let Some((kind, payload)) = Kind::of(frame) else {
            return Fate::UNTOUCHED;
        };
        let connections = node.connections();
        // Nothing is shown of a handshake.
        let Some(found) = connections.iter().find(|one| one.connection == by) else {
            return Fate::UNTOUCHED;
        };
        let (at, peer, channel) = (self.now, found.peer, found.channel);
        Interposers::judge(all, &Passing { at, side, peer, channel, kind, payload })
    }

    /// A delayed message goes on, if its connection is still there.
    pub(super) fn go_on(&mut self, place: u64) {
        let Some(delayed) = self.delayed.remove(&place) else {
            return;
        };
        let Delayed { node, life, side, connection, frame, times } = delayed;
        if self.hosts[node].rest.births != life {
            return;
        }
        for _ in 0..times {
            if !self.network.is_open(node, connection) {
                return;
            }
            let frame = frame.clone();
            match side {
                Side::Sending => self.transmit(node, connection, frame),
                Side::Receiving => self.hand_over(node, Event::Received { connection, frame }),
            }
        }
    }
}
