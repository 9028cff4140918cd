//! The network: connections as objects, not just messages.
//!
//! A connection is dialled (refused, lost in a black hole, or answered), carries frames in order
//! in each direction, fills up, stalls, is closed in order or broken with the loss of an unknown
//! part of what was under way, and dies at each end on its own: at once, later, or unnoticed.

mod link;
mod numbers;
mod obstacles;
mod transit;
mod trouble;

pub use link::{LinkRef, Parcel, Side, Signal};
pub use trouble::{Cut, Death};

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use partisan_proto::wire::Frame;
use partisan_proto::{
    Address, CloseReason, ConnectionId, Duration, Event, Host, Instant, OpenError,
};

use self::link::{Dial, End, EndState, Link, Parcels, Rare, Way};
use self::numbers::Numbers;
use self::obstacles::Obstacles;
use crate::draw::{Label, draw};
use crate::latency::Latency;
use crate::pile::{Pile, reserve_some};
use crate::queue::Queue;
use crate::rules::Rules;
use crate::world::Happening;

/// The port of a node that was never restarted elsewhere.
pub const FIRST_PORT: u16 = 9000;

/// What the network is like when nothing is wrong.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// How long packets travel.
    pub latency: Latency,
    /// Bytes under way on one direction of a connection from which the sender is told to stop; it
    /// may go on when half of them have arrived.
    pub capacity: u32,
    /// How long a sender's frames may be stuck before it gives the connection up as broken.
    pub give_up_after: Duration,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self { latency: Latency::LAN, capacity: 1 << 20, give_up_after: Duration::from_secs(60) }
    }
}

/// A node as the network sees it.
#[derive(Debug)]
struct Station {
    alive: bool,
    /// How often it was started, so that its connections' choices differ from life to life.
    births: u32,
    port: u16,
    /// How many connections it accepted in this life.
    accepted: u64,
    /// Its open and dialled connections.
    links: Numbers,
}

/// An open connection as seen by one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// What this node calls it.
    pub id: ConnectionId,
    /// Who is, or was, at the other end.
    pub peer: usize,
    /// What the other end calls it; `None` while it is dialled or when that end is gone.
    pub peer_id: Option<ConnectionId>,
    /// Bytes that this node sent and that have not arrived.
    pub in_flight: u32,
    /// The network lost it and has told one end or none: only keep-alive will notice.
    pub severed: bool,
}

/// All connections of a run.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    options: NetworkOptions,
    links: Pile<Link>,
    free: Vec<u32>,
    stations: Vec<Station>,
    parcels: Parcels,
    obstacles: Obstacles,
    /// The rules every frame passes.
    pub rules: Rules,
}

impl Network {
    /// No nodes yet.
    #[must_use]
    pub fn new(seed: u64, options: NetworkOptions) -> Self {
        Self {
            seed,
            options,
            links: Pile::default(),
            free: Vec::new(),
            stations: Vec::new(),
            parcels: Parcels::default(),
            obstacles: Obstacles::default(),
            rules: Rules::default(),
        }
    }

    /// How long packets travel.
    #[must_use]
    pub const fn latency(&self) -> &Latency {
        &self.options.latency
    }

    /// A place for one more node, not started yet.
    pub fn add_station(&mut self) -> usize {
        reserve_some(&mut self.stations);
        self.stations.push(Station {
            alive: false,
            births: 0,
            port: FIRST_PORT,
            accepted: 0,
            links: Numbers::default(),
        });
        self.stations.len() - 1
    }

    /// The node starts to listen, on another port than before if it is told to.
    pub fn start(&mut self, node: usize, new_port: bool) {
        let station = &mut self.stations[node];
        station.alive = true;
        station.births += 1;
        station.accepted = 0;
        if new_port {
            station.port = station.port.wrapping_add(1).max(FIRST_PORT);
        }
    }

    /// Where the node listens.
    #[must_use]
    pub fn address(&self, node: usize) -> Address {
        Address { port: self.stations[node].port, ..address(node) }
    }

    /// Who is meant by an address: the node and whether it listens at that port.
    fn resolve(&self, address: &Address) -> Option<(u32, bool)> {
        let Host::Ip(IpAddr::V4(ip)) = address.host else {
            return None;
        };
        let [10, a, b, c] = ip.octets() else {
            return None;
        };
        let node = u32::from_be_bytes([0, a, b, c]);
        let station = self.stations.get(node as usize)?;
        Some((node, station.alive && station.port == address.port))
    }

    /// The connections that a node knows of.
    pub fn links(&self, node: usize) -> impl Iterator<Item = LinkView> {
        self.stations[node].links.iter().map(|(place, mine)| {
            let link = &self.links[place as usize];
            let (own, other) = (link.end(mine), link.end(mine.other()));
            let open = other.state == EndState::Open && own.state == EndState::Open;
            LinkView {
                id: own.id,
                peer: other.node as usize,
                peer_id: open.then_some(other.id),
                in_flight: link.ways[mine as usize].in_flight,
                severed: link.ways.iter().any(|way| way.void),
            }
        })
    }

    /// The node asks for a connection.
    pub fn dial(
        &mut self,
        now: Instant,
        node: usize,
        id: ConnectionId,
        addresses: Arc<[Address]>,
        timeout: Duration,
        queue: &mut Queue<Happening>,
    ) {
        let births = u64::from(self.stations[node].births);
        let key = draw(births << 32 | node as u64, Label::Latency, id.as_u64(), 0);
        let dialler = End { node: node as u32, id, state: EndState::Dialling };
        let nobody = End { node: u32::MAX, id: ConnectionId::accepted(0), state: EndState::Closed };
        let dial = Dial { addresses, timeout, attempt: 0, began: now };
        let link = self.insert(key, [dialler, nobody], dial);
        self.stations[node].links.insert(id, link.place);
        self.try_address(now, link, queue);
    }

    fn insert(&mut self, key: u64, ends: [End; 2], dial: Dial) -> LinkRef {
        let place = self.free.pop();
        let generation = place.map_or(0, |place| self.links[place as usize].generation + 1);
        let link = Link {
            generation,
            key,
            packets: 0,
            ends,
            ways: [Way::default(), Way::default()],
            rare: Some(Box::new(Rare::of(dial))),
        };
        let place = match place {
            Some(place) => {
                self.links[place as usize] = link;
                place
            }
            None => self.links.push(link) as u32,
        };
        LinkRef { place, generation }
    }

    fn link(&mut self, link: LinkRef) -> Option<&mut Link> {
        let found = &mut self.links[link.place as usize];
        (found.generation == link.generation && !found.is_over()).then_some(found)
    }

    fn find(&self, node: usize, id: ConnectionId) -> Option<(LinkRef, Side)> {
        let place = self.stations[node].links.place(id)?;
        let generation = self.links[place as usize].generation;
        Some((LinkRef { place, generation }, Side::of(id)))
    }

    /// Whether the node may send on this connection.
    #[must_use]
    pub fn is_open(&self, node: usize, id: ConnectionId) -> bool {
        self.find(node, id).is_some_and(|(link, side)| {
            self.links[link.place as usize].end(side).state == EndState::Open
        })
    }

    /// Ends one side of a connection; frees its place when that was the last.
    fn end(&mut self, link: LinkRef, side: Side) {
        let found = &mut self.links[link.place as usize];
        let end = found.end_mut(side);
        if end.state == EndState::Closed {
            return;
        }
        end.state = EndState::Closed;
        let (node, id) = (end.node as usize, end.id);
        if found.is_over() {
            found.rare = None;
            self.free.push(link.place);
        }
        self.stations[node].links.remove(id);
    }

    fn travel_time(&mut self, link: LinkRef, from: u32, to: u32) -> Duration {
        let found = &mut self.links[link.place as usize];
        found.packets += 1;
        let number = draw(self.seed, Label::Latency, found.key, u64::from(found.packets));
        self.options.latency.sample(self.seed, from as usize, to as usize, number)
    }

    fn try_address(&mut self, now: Instant, link: LinkRef, queue: &mut Queue<Happening>) {
        let Some(found) = self.link(link) else {
            return;
        };
        let from = found.end(Side::Dialler).node;
        let Some(dial) = found.dial_mut() else {
            return;
        };
        dial.began = now;
        let timeout = dial.timeout;
        let Some(address) = dial.addresses.get(dial.attempt).cloned() else {
            let error = OpenError::NoAddress;
            return queue.push(now, Happening::Net(Signal::NextAddress(link, error)));
        };
        match self.resolve(&address) {
            Some((to, _)) => {
                let span = self.travel_time(link, from, to);
                queue.push(now + span, Happening::Net(Signal::Knock(link)));
            }
            None => {
                let error = OpenError::TimedOut;
                queue.push(now + timeout, Happening::Net(Signal::NextAddress(link, error)));
            }
        }
    }

    /// A packet of the dial reaches the address: refuse, swallow or accept it.
    fn knock(
        &mut self,
        now: Instant,
        link: LinkRef,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let found = self.link(link)?;
        let from = found.end(Side::Dialler).node;
        let dial = found.dial()?;
        let (began, timeout) = (dial.began, dial.timeout);
        let address = dial.addresses.get(dial.attempt)?.clone();
        let (to, listens) = self.resolve(&address)?;
        let back = self.travel_time(link, to, from);
        let lost = self.obstacles.blocks(from, to)
            || self.obstacles.blocks(to, from)
            || self.obstacles.is_black_hole(to)
            || (now + back).since(began) > timeout;
        if lost {
            let next = Signal::NextAddress(link, OpenError::TimedOut);
            queue.push(began + timeout, Happening::Net(next));
            return None;
        }
        if !listens || self.obstacles.refuses(to) {
            let next = Signal::NextAddress(link, OpenError::Refused);
            queue.push(now + back, Happening::Net(next));
            return None;
        }
        let station = &mut self.stations[to as usize];
        let id = ConnectionId::accepted(station.accepted);
        station.accepted += 1;
        station.links.insert(id, link.place);
        let listener = End { node: to, id, state: EndState::Open };
        *self.link(link)?.end_mut(Side::Listener) = listener;
        self.links[link.place as usize].ways[Side::Listener as usize].last_arrival = now + back;
        queue.push(now + back, Happening::Net(Signal::Answer(link)));
        Some((to as usize, Event::Accepted { connection: id }))
    }

    fn answer(&mut self, link: LinkRef) -> Option<(usize, Event)> {
        let end = self.link(link)?.end_mut(Side::Dialler);
        if end.state != EndState::Dialling {
            return None;
        }
        end.state = EndState::Open;
        let (node, connection) = (end.node as usize, end.id);
        self.links[link.place as usize].end_dial();
        Some((node, Event::Opened { connection }))
    }

    fn next_address(
        &mut self,
        now: Instant,
        link: LinkRef,
        error: OpenError,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        let found = self.link(link)?;
        let dial = found.dial_mut()?;
        dial.attempt += 1;
        if dial.attempt < dial.addresses.len() {
            self.try_address(now, link, queue);
            return None;
        }
        let end = found.end(Side::Dialler);
        let (node, connection) = (end.node as usize, end.id);
        self.end(link, Side::Dialler);
        Some((node, Event::OpenFailed { connection, error }))
    }

    /// The number of the node that will most likely experience this; `u32::MAX` where there is none.
    #[must_use]
    pub fn concerned(&self, signal: &Signal) -> u32 {
        let (link, side) = match signal {
            Signal::Arrive { link, from, .. }
            | Signal::Notice { link, from, .. }
            | Signal::Release(link, from) => (link, from.other()),
            Signal::Knock(link) => (link, Side::Listener),
            Signal::Answer(link) | Signal::NextAddress(link, _) => (link, Side::Dialler),
            Signal::GiveUp(link, side)
            | Signal::Congested(link, side)
            | Signal::Drained(link, side) => (link, *side),
        };
        self.links[link.place as usize].end(side).node
    }

    /// Does what is due; says what the node concerned experiences, if any.
    pub fn signal(
        &mut self,
        now: Instant,
        signal: Signal,
        queue: &mut Queue<Happening>,
    ) -> Option<(usize, Event)> {
        match signal {
            Signal::Knock(link) => self.knock(now, link, queue),
            Signal::Answer(link) => self.answer(link),
            Signal::NextAddress(link, error) => self.next_address(now, link, error, queue),
            Signal::Arrive { link, from, number, size, frame } => {
                let frame = self.parcels.take(frame)?;
                self.arrive(now, link, from, number, size, frame, queue)
            }
            Signal::Notice { link, from, reason } => self.notice(now, link, from, reason, queue),
            Signal::Release(link, from) => self.release(now, link, from, queue),
            Signal::GiveUp(link, side) => self.give_up(now, link, side, queue),
            Signal::Congested(link, side) => {
                let end = self.open_end(link, side)?;
                Some((end.0, Event::Congested { connection: end.1 }))
            }
            Signal::Drained(link, side) => {
                let end = self.open_end(link, side)?;
                Some((end.0, Event::Drained { connection: end.1 }))
            }
        }
    }

    fn open_end(&mut self, link: LinkRef, side: Side) -> Option<(usize, ConnectionId)> {
        let end = self.link(link)?.end(side);
        (end.state == EndState::Open).then_some((end.node as usize, end.id))
    }
}

/// Where a node listens that was never restarted elsewhere.
#[must_use]
pub fn address(node: usize) -> Address {
    let number = (node as u32).to_be_bytes();
    let ip = Ipv4Addr::new(10, number[1], number[2], number[3]);
    Address { host: Host::Ip(ip.into()), port: FIRST_PORT }
}

/// The length of a frame, near enough where it is not encoded.
#[must_use]
pub fn estimated_size(frame: &Frame) -> u32 {
    match frame {
        Frame::App { .. }
        | Frame::Relayed { .. }
        | Frame::Signal(_)
        | Frame::Newest { .. }
        | Frame::Reliable { .. }
        | Frame::Request { .. }
        | Frame::Reply { .. } => 4 + frame.payload_frame_len() as u32,
        Frame::Control(_) => 64,
        Frame::Hello(_) => 160,
        Frame::Refuse(_) => 15,
        Frame::Broadcast(message) => 4 + message.frame_len() as u32,
    }
}

const _: () = assert!(size_of::<CloseReason>() <= 32);

#[cfg(test)]
mod tests;
