//! Joining: how a newcomer finds its places in the overlay.
//!
//! The newcomer asks its contact. A contact with room takes it, and sends it on walks; whoever has
//! it at the end of one takes it in the place of a neighbour and tells that one of it. So a link is
//! split in two by the newcomer, who has two neighbours by it, and nobody else gains or loses one:
//! an overlay that grows like this stays a random graph in which everybody has as many neighbours
//! as there are places. A contact without room splits a link of its own in this way, but no more
//! often than `eviction_pause`; to the others it offers the walks alone. When very many join at
//! once, walks from one contact through a cluster that is small as yet would make a bad graph of
//! them: they are told of each other instead, each of a sample of all who came, and ask those.
//!
//! In the paper the contact always makes room and sends a walk to each of its neighbours, which
//! leaves as many others a neighbour short as there are walks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::Hash;

use super::HyParView;
use super::passive::Known;
use super::peers::{Purpose, State};
use super::shuffle::introduction_of_self;
use crate::change::{Change, ContactId};
use crate::command::Contact;
use crate::context::Context;
use crate::few::make_room;
use crate::id::NodeId;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{ControlMessage, Declined, HyParViewMessage, Introduction, Introductions, Walk};

/// The most joiners of a crowd that its contact remembers.
const SAMPLE: usize = 512;
/// Of how many others a joiner in a crowd is told.
const CROWD_INTRODUCTIONS: usize = 16;
/// A crowd has gone when nobody has come for so long.
const CROWD_ENDS: Duration = Duration::from_secs(10);
/// Contacts that are dialled again when nobody else can be reached.
const MAX_CONTACTS: usize = 8;
/// The numbers of contacts dialled again: far from those of joins.
const RECALLED: u32 = u32::MAX - MAX_CONTACTS as u32;

/// Those who joined through this node of late.
#[derive(Clone, Debug, Hash)]
pub(super) struct Crowd {
    /// How many joins may still be led through the overlay now.
    allowance: u32,
    /// When the allowance last grew.
    grown: Instant,
    /// When the last one came.
    last: Instant,
    came: usize,
    /// A uniform sample of all of them.
    sample: Vec<Known>,
}

impl Crowd {
    fn new(now: Instant, burst: u32) -> Self {
        Self { allowance: burst, grown: now, last: now, came: 0, sample: Vec::new() }
    }

    /// Whether one more may be led through the overlay.
    fn admits(&mut self, now: Instant, per_second: u32) -> bool {
        let earned = now.since(self.grown).as_nanos() * u128::from(per_second) / 1_000_000_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.allowance = self.allowance.saturating_add(earned).min(burst(per_second));
            self.grown = now;
        }
        let admitted = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        admitted
    }
}

const fn burst(per_second: u32) -> u32 {
    // Constant functions know no `max`.
    if per_second < 8 { 1 } else { per_second / 8 }
}

impl HyParView {
    /// A session with a contact has begun, or there is one already: asks it.
    pub(super) fn join_at(&mut self, cx: &mut Context<'_>, node: NodeId) {
        match self.peers.state(node) {
            Some(State::Active) => self.finish_joins(cx, node),
            Some(State::Stranger | State::Draining) => self.pursue(cx, node, Purpose::Join),
            // When that comes to nothing, it is asked again.
            Some(State::Asked(_) | State::Dialled(_)) => {}
            None => self.joining.retry(cx, node),
        }
    }

    /// A newcomer asks to be let in through this node.
    pub(super) fn on_join(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        room: bool,
        offer: Option<Introduction>,
    ) {
        let Some(newcomer) = self.peers.get(node).map(|peer| peer.introduction()) else {
            return;
        };
        self.tally.counters.joins += 1;
        let per_second = self.config.joins_per_second;
        let crowd = &mut self.crowd;
        let crowd = crowd.get_or_insert_with(|| Box::new(Crowd::new(cx.now, burst(per_second))));
        let admitted = crowd.admits(cx.now, per_second);
        // One that has neighbours brings its own cluster, and needs no others.
        let walks = |places: usize| if offer.is_some() { 0 } else { places.div_ceil(2) };
        let size = self.config.active_size;
        let hints = offer.iter().cloned().chain([newcomer.clone()]).collect();
        if room {
            self.accept(cx, node);
            self.send_out(cx, &newcomer, if admitted { walks(size - 1) } else { 0 });
        } else if !admitted {
            self.decline(cx, node, Declined::Crowded);
        } else if self.may_evict(cx.now) {
            self.send_out(cx, &newcomer, walks(size.saturating_sub(2)));
            self.accept_instead(cx, node, hints);
        } else {
            self.send_out(cx, &newcomer, walks(size));
            self.decline(cx, node, Declined::Placed);
        }
        self.count_in(cx.now, newcomer.into());
    }

    /// Whether a neighbour may be parted with for the sake of somebody else.
    pub(super) fn may_evict(&self, now: Instant) -> bool {
        let pause = self.config.eviction_pause;
        self.last_eviction.is_none_or(|last| now.since(last) >= pause)
    }

    /// Remembers one who joined, in the place of another when there are many.
    fn count_in(&mut self, now: Instant, known: Known) {
        let Some(crowd) = &mut self.crowd else {
            return;
        };
        crowd.last = now;
        crowd.came += 1;
        if crowd.sample.len() < SAMPLE {
            crowd.sample.push(known);
        } else {
            let place = self.random.below(crowd.came);
            if let Some(old) = crowd.sample.get_mut(place) {
                *old = known;
            }
        }
    }

    /// Others that one of a crowd may ask.
    pub(super) fn crowd_sample(&mut self, except: NodeId) -> Introductions {
        let mut others: Vec<Introduction> = Vec::new();
        if let Some(crowd) = &mut self.crowd {
            self.random.shuffle_front(&mut crowd.sample, CROWD_INTRODUCTIONS + 1);
            let sample = crowd.sample.iter().filter(|known| known.node != except);
            others = sample.take(CROWD_INTRODUCTIONS).map(Known::introduction).collect();
        }
        super::shuffle::introductions(others)
    }

    /// Forgets a crowd that has gone.
    pub(super) fn disperse(&mut self, now: Instant) {
        if self.crowd.as_ref().is_some_and(|crowd| now.since(crowd.last) >= CROWD_ENDS) {
            self.crowd = None;
        }
    }

    /// Sends a newcomer on so many walks.
    fn send_out(&mut self, cx: &mut Context<'_>, newcomer: &Introduction, walks: usize) {
        let node = newcomer.spec.id();
        let mut hops: Vec<NodeId> = self.peers.active().map(|peer| peer.node).collect();
        hops.retain(|hop| *hop != node);
        self.random.shuffle_front(&mut hops, walks);
        for hop in hops.into_iter().take(walks) {
            let length = self.config.active_walk.saturating_mul(2);
            let walk = Walk { node: newcomer.clone(), hops: length, joins: true };
            cx.send(hop, ControlMessage::HyParView(HyParViewMessage::Walk(Box::new(walk))));
        }
    }

    /// Looks for somebody with room by a walk. A node that lacks two neighbours, and has looked
    /// before, lets itself be placed in the midst of a link instead, as a joiner is.
    pub(super) fn look_around(&mut self, cx: &mut Context<'_>) {
        let node = introduction_of_self(cx);
        let joins = self.search.fruitless > 1 && self.lacks_two(cx);
        if let Some(hop) = self.next_hop_of_walk(&[]) {
            let hops = self.config.active_walk.saturating_mul(2);
            let walk = Walk { node, hops, joins };
            cx.send(hop, ControlMessage::HyParView(HyParViewMessage::Walk(Box::new(walk))));
        }
    }

    /// A random neighbour, other than these.
    pub(super) fn next_hop_of_walk(&mut self, except: &[NodeId]) -> Option<NodeId> {
        let eligible = |node: &NodeId| !except.contains(node);
        let hops = || self.peers.active().map(|peer| peer.node).filter(eligible);
        let place = self.random.below(hops().count());
        hops().nth(place)
    }

    /// Somebody is on its way to new neighbours.
    pub(super) fn on_walk(&mut self, cx: &mut Context<'_>, from: NodeId, mut walk: Walk) {
        let known = Known::from(walk.node.clone());
        let node = known.node;
        if node == cx.me.instance.node || self.warn_of(cx, from, &known) {
            return;
        }
        // Nobody sends more than that.
        walk.hops = walk.hops.min(2 * self.config.active_walk);
        let linked = matches!(
            self.peers.state(node),
            Some(State::Active | State::Asked(_) | State::Dialled(_))
        );
        // One who lacks a neighbour is not taken by a neighbour's neighbour at once: that would
        // close a triangle.
        let far = walk.hops + 2 <= 2 * self.config.active_walk;
        let wants = !linked && !walk.joins && far && self.has_room(&known.spec);
        let next = self.next_hop_of_walk(&[from, node]);
        let next = next.filter(|_| walk.hops > 0 && !wants);
        if next.is_none() {
            self.count_walk(walk.hops);
        }
        match next {
            Some(next) => {
                if walk.joins && walk.hops == self.config.passive_walk {
                    self.reserve(known);
                }
                walk.hops -= 1;
                let message = HyParViewMessage::Walk(Box::new(walk));
                cx.send(next, ControlMessage::HyParView(message));
            }
            None if linked => {}
            None if self.has_room(&known.spec) => self.take_in(cx, known, Purpose::Fill),
            None if walk.joins => self.take_in(cx, known, Purpose::Place),
            None => {}
        }
    }

    /// A walk ends here: asks whom it was about.
    fn take_in(&mut self, cx: &mut Context<'_>, known: Known, purpose: Purpose) {
        if self.peers.in_pursuit(purpose) < 2 * self.config.parallel_requests {
            self.seek(cx, known, purpose);
        }
    }

    /// The contact has sent this node on its way to others.
    pub(super) fn on_placed(&mut self, cx: &mut Context<'_>, contact: NodeId, why: Declined) {
        self.joining.refer(contact, cx.me.instance.node);
        match why {
            Declined::Crowded => {
                self.search.crowded = true;
                self.look_anew(cx);
            }
            Declined::Placed | Declined::Full => self.wait_for_others(cx),
        }
    }

    /// Gives those who were told of this node the time to ask it.
    pub(super) fn wait_for_others(&mut self, cx: &mut Context<'_>) {
        self.search.fruitless = 0;
        cx.set_timer(Timer::Promote, self.config.promotion_interval / 5);
    }

    /// This node is in: ends the joins that waited for that.
    pub(super) fn finish_joins(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let (through, me) = (self.joining.is_through(node), cx.me.instance.node);
        if through || self.joining.is_through(me) {
            // At once: a node that was told that it joined finds its cluster after a crash.
            self.save(cx);
            self.wait_for_others(cx);
        }
        if through {
            self.joining.through(cx, node);
        }
        if self.joining.is_through(me) {
            self.joining.through_other(cx, me, node);
        }
    }

    /// Remembers how to reach a contact.
    pub(super) fn remember_contact(&mut self, contact: Contact) {
        self.contacts.retain(|other| *other != contact);
        if self.contacts.len() == MAX_CONTACTS {
            self.contacts.remove(0);
        }
        make_room(&mut self.contacts);
        self.contacts.push(contact);
    }

    /// Dials the contacts of former joins: nobody else can be reached.
    pub(super) fn recall(&mut self, cx: &mut Context<'_>) {
        if self.recalling || !self.joining.is_empty() {
            return;
        }
        self.recalling = !self.contacts.is_empty();
        for (contact, target) in (RECALLED..).map(ContactId).zip(self.contacts.clone()) {
            let (lanes, failures) = (false, 0);
            cx.change(Change::DialContact { contact, target, lanes, failures });
        }
    }

    /// Somebody else was reached.
    pub(super) fn end_recall(&mut self, cx: &mut Context<'_>) {
        if core::mem::take(&mut self.recalling) {
            for contact in (RECALLED..).map(ContactId).take(MAX_CONTACTS) {
                cx.change(Change::DropContact { contact });
            }
        }
    }

    /// Whether a contact is one of former joins, dialled again.
    pub(super) const fn is_recalled(contact: ContactId) -> bool {
        contact.0 >= RECALLED
    }

    /// A contact of a join or of a former one was reached.
    pub(super) fn reached(&mut self, cx: &mut Context<'_>, contact: ContactId, node: NodeId) {
        if Self::is_recalled(contact) {
            if let Some(State::Stranger | State::Draining) = self.peers.state(node) {
                self.pursue(cx, node, Purpose::Join);
            }
        } else {
            self.joining.reached(contact, node);
            self.join_at(cx, node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_is_spent_and_grows_again() {
        let mut now = Instant::ZERO;
        let mut crowd = Crowd::new(now, burst(80));
        let at_once = (0..100).filter(|_| crowd.admits(now, 80)).count();
        assert_eq!(at_once, 10);
        for _ in 0..100 {
            now += Duration::from_nanos(12_500_000);
            assert!(crowd.admits(now, 80));
            assert!(!crowd.admits(now, 80));
        }
        now += Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| crowd.admits(now, 80)).count(), 10);
        assert_eq!([1, 7, 8, 128].map(burst), [1, 1, 1, 16]);
    }
}
