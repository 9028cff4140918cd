//! One connection: two ends, two ways.

use std::collections::VecDeque;
use std::sync::Arc;

use partisan_proto::wire::Frame;
use partisan_proto::{Address, CloseReason, ConnectionId, Duration, Instant};

/// A connection in the network's table, safe against the reuse of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkRef {
    pub(super) place: u32,
    pub(super) generation: u32,
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that dialled.
    Dialler = 0,
    /// The one that listened.
    Listener = 1,
}

impl Side {
    /// The end of whoever calls the connection this.
    pub(super) const fn of(id: ConnectionId) -> Self {
        match id.is_dialled() {
            true => Self::Dialler,
            false => Self::Listener,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Listener,
            Self::Listener => Self::Dialler,
        }
    }
}

/// The place of a frame that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel(u32);

/// The frames that are under way.
///
/// Few at any moment, and their places are used again at once: that keeps them in the cache, and
/// the queue's events, most of which wait for long, small.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    frames: Vec<Option<Frame>>,
    free: Vec<u32>,
}

impl Parcels {
    pub(super) fn put(&mut self, frame: Frame) -> Parcel {
        let place = self.free.pop().unwrap_or_else(|| {
            self.frames.push(None);
            (self.frames.len() - 1) as u32
        });
        self.frames[place as usize] = Some(frame);
        Parcel(place)
    }

    /// Once for each frame that was put.
    pub(super) fn take(&mut self, parcel: Parcel) -> Option<Frame> {
        let frame = self.frames[parcel.0 as usize].take()?;
        self.free.push(parcel.0);
        Some(frame)
    }
}

/// What the network will do next with a connection.
#[derive(Debug)]
pub enum Signal {
    /// A packet of the dial reaches the address.
    Knock(LinkRef),
    /// The dial's answer reaches the dialler.
    Answer(LinkRef),
    /// The present address failed: try the next.
    NextAddress(LinkRef, partisan_proto::OpenError),
    /// A frame reaches the end that is not `from`.
    Arrive {
        /// The connection.
        link: LinkRef,
        /// Who sent it.
        from: Side,
        /// Its place among all frames of this way.
        number: u32,
        /// Its length in bytes.
        size: u32,
        /// What it says.
        frame: Parcel,
    },
    /// The end that is not `from` learns that the connection is over.
    Notice {
        /// The connection.
        link: LinkRef,
        /// Who ended it, or whose end vanished.
        from: Side,
        /// What the other end is told.
        reason: CloseReason,
    },
    /// What was held up on the way from this side goes on.
    Release(LinkRef, Side),
    /// The sender gives up if its frames are still stuck.
    GiveUp(LinkRef, Side),
    /// The sender on this side may send no more for now.
    Congested(LinkRef, Side),
    /// The sender on this side may send again.
    Drained(LinkRef, Side),
}

/// How far a connection is, seen from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    /// Not there yet.
    Dialling,
    Open,
    Closed,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) node: u32,
    pub(super) id: ConnectionId,
    pub(super) state: EndState,
}

/// What is held up, in order.
#[derive(Debug)]
pub(super) enum Held {
    Frame { number: u32, size: u32, frame: Frame },
    Notice(CloseReason),
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Way {
    /// Nothing arrives before what was sent before it.
    pub(super) last_arrival: Instant,
    /// How many frames were sent.
    pub(super) sent: u32,
    /// How many frames arrived.
    pub(super) arrived: u32,
    /// Frames from this number on are lost.
    pub(super) cut: u32,
    /// Bytes sent and not arrived.
    pub(super) in_flight: u32,
    pub(super) congested: bool,
    /// Everything vanishes from `cut` on, the end of the connection included.
    pub(super) void: bool,
    /// Whether a [`Signal::Release`] is under way.
    pub(super) releasing: bool,
    /// Whether a [`Signal::GiveUp`] is under way.
    pub(super) giving_up: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            last_arrival: Instant::ZERO,
            sent: 0,
            arrived: 0,
            cut: u32::MAX,
            in_flight: 0,
            congested: false,
            void: false,
            releasing: false,
            giving_up: false,
        }
    }
}

/// What most connections have nothing of most of the time.
#[derive(Debug, Default)]
pub(super) struct Rare {
    dial: Option<Dial>,
    /// By the side that sends: when its line is free again, where its speed is bounded.
    line_free: [Instant; 2],
    /// By the side that sends: frames that arrived at an obstacle.
    held: [VecDeque<Held>; 2],
}

impl Rare {
    pub(super) fn of(dial: Dial) -> Self {
        Self { dial: Some(dial), ..Self::default() }
    }
}

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) addresses: Arc<[Address]>,
    pub(super) timeout: Duration,
    /// Which address is being tried.
    pub(super) attempt: usize,
    pub(super) began: Instant,
}

/// Two cache lines: the first says who, the second what is under way.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Link {
    pub(super) generation: u32,
    pub(super) packets: u32,
    /// What this connection's choices are drawn with: the same whatever else happens in the run.
    pub(super) key: u64,
    pub(super) ends: [End; 2],
    pub(super) rare: Option<Box<Rare>>,
    /// By the side that sends.
    pub(super) ways: [Way; 2],
}

const _: () = assert!(size_of::<Link>() <= 128);

impl Link {
    pub(super) fn dial(&self) -> Option<&Dial> {
        self.rare.as_ref()?.dial.as_ref()
    }

    pub(super) fn dial_mut(&mut self) -> Option<&mut Dial> {
        self.rare.as_mut()?.dial.as_mut()
    }

    /// The dial is over, one way or the other: from now on there is seldom anything rare.
    pub(super) fn end_dial(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.dial = None;
            let held = rare.held.iter().any(|held| !held.is_empty());
            if !held && rare.line_free == [Instant::ZERO; 2] {
                self.rare = None;
            }
        }
    }

    /// Whether frames from this side are held up.
    pub(super) fn is_held(&self, from: Side) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.held[from as usize].is_empty())
    }

    pub(super) fn hold(&mut self, from: Side, item: Held) {
        self.rare.get_or_insert_default().held[from as usize].push_back(item);
    }

    /// Takes what was held up first of what comes from this side.
    pub(super) fn next_held(&mut self, from: Side) -> Option<Held> {
        self.rare.as_mut()?.held[from as usize].pop_front()
    }

    /// When the sender's line is free again, where its speed is bounded.
    pub(super) fn line_free_mut(&mut self, from: Side) -> &mut Instant {
        &mut self.rare.get_or_insert_default().line_free[from as usize]
    }

    pub(super) const fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(super) const fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    pub(super) const fn way_mut(&mut self, from: Side) -> &mut Way {
        &mut self.ways[from as usize]
    }

    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.state == EndState::Closed)
    }
}
