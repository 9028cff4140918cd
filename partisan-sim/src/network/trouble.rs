//! What goes wrong with connections: deaths of nodes, cuts, partitions, and their healing.

use partisan_proto::{CloseReason, Duration, Instant};

use super::Network;
use super::link::{EndState, Link, LinkRef, Side, Signal};
use crate::draw::{Label, between, draw};
use crate::queue::Queue;
use crate::world::Happening;

/// How the peers of a node that dies notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Death {
    /// Its process ends and the machine says so, within a travel time.
    Process,
    /// The machine vanishes: nobody is told.
    Machine,
    /// For each connection drawn: at once, after 1 to 10 s, or never.
    Drawn,
}

/// How a connection between two nodes dies, though both live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Cut {
    /// Both ends are told, each in its own time; a part of what was under way is lost.
    Reset,
    /// Nothing passes any more, and no end is told.
    Silent,
    /// As silent, but one end, drawn, is told.
    OneSide,
}

impl Network {
    /// The node dies without a word.
    pub fn stop(&mut self, now: Instant, node: usize, death: Death, queue: &mut Queue<Happening>) {
        self.stations[node].alive = false;
        let links: Vec<_> = self.stations[node].links.iter().collect();
        for (place, side) in links {
            let Link { generation, key, .. } = self.links[place as usize];
            let link = LinkRef { place, generation };
            let number = draw(self.seed, Label::Notice, key, 2);
            let notice = match death {
                Death::Process => Some(Duration::ZERO),
                Death::Machine => None,
                Death::Drawn => match number % 3 {
                    0 => Some(Duration::ZERO),
                    1 => Some(between(number, Duration::from_secs(1), Duration::from_secs(10))),
                    _ => None,
                },
            };
            self.lose(link, side);
            match notice {
                Some(after) => self.announce(now + after, link, side, CloseReason::Broken, queue),
                None => self.links[link.place as usize].way_mut(side).void = true,
            }
            self.end(link, side);
        }
    }

    /// Cuts every open connection between two nodes.
    pub fn cut(
        &mut self,
        now: Instant,
        a: usize,
        b: usize,
        how: Cut,
        queue: &mut Queue<Happening>,
    ) {
        let links: Vec<_> = self.stations[a].links.iter().collect();
        for (place, _) in links {
            let link = &self.links[place as usize];
            let both = link.ends.iter().any(|end| end.node == b as u32);
            if both && link.end(Side::Listener).state == EndState::Open {
                let link = LinkRef { place, generation: link.generation };
                self.cut_link(now, link, how, queue);
            }
        }
    }

    fn cut_link(&mut self, now: Instant, link: LinkRef, how: Cut, queue: &mut Queue<Happening>) {
        let key = self.links[link.place as usize].key;
        let told = draw(self.seed, Label::Notice, key, 3) % 2;
        for side in [Side::Dialler, Side::Listener] {
            self.lose(link, side);
            // No frame sent from now on arrives either.
            let way = self.links[link.place as usize].way_mut(side);
            way.cut = way.cut.min(way.sent);
            let number = draw(self.seed, Label::Notice, key, side as u64);
            let hears = match how {
                Cut::Reset => true,
                Cut::Silent => false,
                Cut::OneSide => told == side as u64,
            };
            if hears {
                let after = between(number, Duration::ZERO, Duration::from_millis(200));
                self.announce(now + after, link, side, CloseReason::Broken, queue);
            } else {
                self.links[link.place as usize].way_mut(side).void = true;
            }
        }
    }

    /// Parts the nodes into groups; nodes in no group reach everybody. With `symmetric` nothing
    /// passes between groups, otherwise nothing passes from the first group to the others.
    pub fn partition(&mut self, groups: &[Vec<usize>], symmetric: bool) {
        self.obstacles.set_partition(groups, symmetric);
    }

    /// Nothing passes from one node to the other until [`Network::heal`].
    pub fn block(&mut self, from: usize, to: usize) {
        self.obstacles.block(from as u32, to as u32);
    }

    /// Ends all partitions and blocks; what was held up goes on.
    pub fn heal(&mut self, now: Instant, queue: &mut Queue<Happening>) {
        self.obstacles.heal();
        self.release_all(now, queue);
    }

    /// Takes every obstacle away but pauses.
    pub fn clear(&mut self, now: Instant, queue: &mut Queue<Happening>) {
        self.obstacles.clear();
        self.release_all(now, queue);
    }

    /// Open connections from one node to the other stall, or go on.
    pub fn clog(
        &mut self,
        now: Instant,
        from: usize,
        to: usize,
        on: bool,
        queue: &mut Queue<Happening>,
    ) {
        self.obstacles.clog(from as u32, to as u32, on);
        self.release_all(now, queue);
    }

    /// Bounds the bytes a second of each connection from one node to the other.
    pub fn slow(&mut self, from: usize, to: usize, bytes_per_second: Option<u64>) {
        self.obstacles.slow(from as u32, to as u32, bytes_per_second);
    }

    /// Dials to the node are lost, or are not any more.
    pub fn black_hole(&mut self, node: usize, on: bool) {
        self.obstacles.black_hole(node as u32, on);
    }

    /// Dials to the node are refused, or are not any more.
    pub fn refuse_dials(&mut self, node: usize, on: bool) {
        self.obstacles.refuse(node as u32, on);
    }

    /// The node reads nothing, or reads again.
    pub fn pause(&mut self, now: Instant, node: usize, on: bool, queue: &mut Queue<Happening>) {
        self.obstacles.pause(node as u32, on);
        self.release_all(now, queue);
    }

    /// Lets everything go on that is held up and no longer has to be.
    fn release_all(&mut self, now: Instant, queue: &mut Queue<Happening>) {
        for place in 0..self.links.len() {
            let found = &mut self.links[place];
            let link = LinkRef { place: place as u32, generation: found.generation };
            for side in [Side::Dialler, Side::Listener] {
                let found = &mut self.links[place];
                if found.is_held(side) && !found.way_mut(side).releasing {
                    found.way_mut(side).releasing = true;
                    let (from, to) = (found.end(side).node, found.end(side.other()).node);
                    let span = self.travel_time(link, from, to);
                    queue.push(now + span, Happening::Net(Signal::Release(link, side)));
                }
            }
        }
    }
}
