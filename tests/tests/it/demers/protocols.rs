//! The protocols: one process on each node, as pure machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use partisan_proto::process::{Actor, ActorContext, Input};
use partisan_proto::{Duration, NodeId, ProcessName, Signal, Target};

/// A rumour, by number.
pub(super) type Rumour = u8;

/// How often anti-entropy compares, and acknowledged mail is sent again.
pub(super) const PERIOD: Duration = Duration::from_secs(2);
/// To how many others anti-entropy and rumor mongering turn at a time.
pub(super) const FANOUT: usize = 2;

/// How rumours spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Whoever has a new rumour sends it to everybody, once.
    DirectMail,
    /// As that, and sends it again until everybody has said that it came.
    AckedMail,
    /// Everybody compares all that is known with a few others, again and again.
    AntiEntropy,
    /// Whoever hears a rumour for the first time tells a few others, who may know it.
    RumorMongering,
    /// Rumor mongering, with anti-entropy for what dies out.
    RumorWithAntiEntropy,
}

impl Protocol {
    const fn compares(self) -> bool {
        matches!(self, Self::AntiEntropy | Self::RumorWithAntiEntropy)
    }

    const fn mongers(self) -> bool {
        matches!(self, Self::RumorMongering | Self::RumorWithAntiEntropy)
    }
}

// The first byte of a message; rumours follow.
const NEW: u8 = 0;
const TOLD: u8 = 1;
const ACKNOWLEDGED: u8 = 2;
/// All that the sender knows, to be answered with what it lacks.
const COMPARED: u8 = 3;

/// The name under which the process of each node is found.
pub(super) fn name() -> ProcessName {
    ProcessName::new("rumours").expect("a good name")
}

/// What makes a node's process have a new rumour.
pub(super) fn new(rumour: Rumour) -> Bytes {
    Bytes::from(vec![NEW, rumour])
}

/// What a node has heard, as tests see it.
pub(super) type Heard = Arc<Mutex<BTreeSet<Rumour>>>;

/// The process of a node.
#[derive(Debug)]
pub(super) struct Teller {
    protocol: Protocol,
    /// All nodes, this one included: a draw may fall on it, as in the original.
    all: Vec<NodeId>,
    heard: Heard,
    /// Who has not said yet that a rumour came.
    owed: BTreeMap<Rumour, BTreeSet<NodeId>>,
    random: u64,
}

impl Teller {
    pub(super) fn new(protocol: Protocol, all: Vec<NodeId>, heard: Heard, seed: u64) -> Self {
        // Seeds that follow each other must not draw alike.
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { protocol, all, heard, owed: BTreeMap::new(), random }
    }

    fn draw(&mut self) -> NodeId {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.all[(self.random >> 33) as usize % self.all.len()]
    }

    /// Different nodes, drawn; perhaps this one.
    fn draw_some(&mut self) -> BTreeSet<NodeId> {
        let mut drawn = BTreeSet::new();
        while drawn.len() < FANOUT.min(self.all.len()) {
            drawn.insert(self.draw());
        }
        drawn
    }

    fn tell(cx: &mut ActorContext<'_>, to: NodeId, what: u8, rumours: &[Rumour]) {
        if to != cx.me().node {
            cx.send(&Target::Name(to, name()), [&[what], rumours].concat().into());
        }
    }

    /// Whether the rumour is new here; then it is told as the protocol says.
    fn hear(&mut self, cx: &mut ActorContext<'_>, rumour: Rumour, first_hand: bool) {
        if !self.heard.lock().expect("sound").insert(rumour) {
            return;
        }
        if self.protocol.mongers() {
            for to in self.draw_some() {
                Self::tell(cx, to, TOLD, &[rumour]);
            }
        } else if first_hand && !self.protocol.compares() {
            let me = cx.me().node;
            let others: BTreeSet<NodeId> = self.all.iter().copied().filter(|n| *n != me).collect();
            for to in &others {
                Self::tell(cx, *to, TOLD, &[rumour]);
            }
            if self.protocol == Protocol::AckedMail {
                self.owed.insert(rumour, others);
            }
        }
    }

    fn compare(&mut self, cx: &mut ActorContext<'_>, from: NodeId, theirs: &[Rumour]) {
        for rumour in theirs {
            self.hear(cx, *rumour, false);
        }
        let heard = self.heard.lock().expect("sound").clone();
        let lacking: Vec<Rumour> = heard.into_iter().filter(|one| !theirs.contains(one)).collect();
        if !lacking.is_empty() {
            Self::tell(cx, from, TOLD, &lacking);
        }
    }

    /// The period is over.
    fn repeat(&mut self, cx: &mut ActorContext<'_>) {
        let me = cx.me();
        cx.send_after(PERIOD, me, Bytes::new());
        for (rumour, owed) in &self.owed {
            owed.iter().for_each(|to| Self::tell(cx, *to, TOLD, &[*rumour]));
        }
        if self.protocol.compares() {
            let heard: Vec<Rumour> = self.heard.lock().expect("sound").iter().copied().collect();
            for to in self.draw_some() {
                Self::tell(cx, to, COMPARED, &heard);
            }
        }
    }
}

impl Actor for Teller {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        let me = cx.me();
        cx.send_after(PERIOD, me, Bytes::new());
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        let (from, payload) = match input {
            Input::Message { from, payload, .. } => (from, payload),
            Input::Signal(Signal::Timer { .. }) => return self.repeat(cx),
            _ => return,
        };
        let Some((what, rumours)) = payload.split_first() else {
            return;
        };
        match *what {
            NEW => rumours.iter().for_each(|one| self.hear(cx, *one, true)),
            TOLD => {
                rumours.iter().for_each(|one| self.hear(cx, *one, false));
                if self.protocol == Protocol::AckedMail {
                    Self::tell(cx, from, ACKNOWLEDGED, rumours);
                }
            }
            ACKNOWLEDGED => {
                for rumour in rumours {
                    if let Some(owed) = self.owed.get_mut(rumour) {
                        owed.remove(&from);
                    }
                }
            }
            _ => self.compare(cx, from, rumours),
        }
    }
}
