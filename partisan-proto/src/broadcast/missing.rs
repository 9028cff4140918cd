//! The messages that neighbours announced and that have not come.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::links::Links;
use crate::id::{MessageId, NodeId};
use crate::time::{Duration, Instant};
use crate::wire::Subject;

/// How often one announcer is asked for one message at most.
const MOST_ASKED: u8 = 6;

/// What is missing, each with the time at which something must be done about it.
#[derive(Debug, Default)]
pub(super) struct Missing {
    messages: BTreeMap<MessageId, Noted>,
    due: BTreeSet<(Instant, MessageId)>,
}

/// One missing message.
#[derive(Debug)]
pub(super) struct Noted {
    /// When it was first announced.
    pub(super) since: Instant,
    due: Instant,
    /// Whether it travels in its origin's own tree.
    pub(super) own: bool,
    /// Whether whoever is asked for it becomes an eager link: not where it is old, and was found by
    /// a comparison.
    pub(super) promote: bool,
    /// What its handler calls it.
    pub(super) subject: Option<Box<Subject>>,
    /// Whether the handler was asked if it is of use.
    pub(super) judged: bool,
    /// Who was asked last and has not answered.
    awaited: Option<NodeId>,
    pub(super) announcers: Vec<Announcer>,
}

/// Who has a missing message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcer {
    pub(super) node: NodeId,
    /// How many hops it will have come by this one.
    pub(super) hops: u8,
    /// How often this one was asked for it.
    asked: u8,
    /// When it was asked last, or announced it.
    at: Instant,
}

/// What was announced.
#[derive(Debug)]
pub(super) struct News {
    pub(super) id: MessageId,
    pub(super) hops: u8,
    pub(super) own: bool,
    pub(super) promote: bool,
    pub(super) subject: Option<Box<Subject>>,
}

/// How many messages may be asked of a neighbour before others are asked as well.
const LITTLE: usize = 256;

/// What is asked of each neighbour.
pub(super) type Burdens = BTreeMap<NodeId, Burden>;

/// What is asked of a neighbour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Burden {
    /// How many messages it has not sent so far.
    owed: usize,
    /// Whether more are asked of it now.
    asked: bool,
}

impl Burden {
    /// One more is asked of it now.
    pub(super) const fn add(&mut self) {
        (self.owed, self.asked) = (self.owed + 1, true);
    }
}

/// Whom to ask for a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one, for the how manieth time it is.
    Ask(NodeId, u8),
    /// Nobody has it, or everybody was asked often enough.
    GiveUp,
}

impl Noted {
    fn announcer(&self, node: NodeId) -> Option<&Announcer> {
        self.announcers.iter().find(|announcer| announcer.node == node)
    }

    /// Whether this neighbour was asked for it.
    pub(super) fn was_asked(&self, node: NodeId) -> bool {
        self.announcer(node).is_some_and(|announcer| announcer.asked > 0)
    }

    /// When this neighbour was asked for it, if that was once: else nobody knows which asking an
    /// answer is for (Karn 1987).
    pub(super) fn asked_once(&self, node: NodeId) -> Option<Instant> {
        let once = self.announcer(node).filter(|announcer| announcer.asked == 1);
        once.map(|announcer| announcer.at)
    }

    pub(super) fn was_any_asked(&self) -> bool {
        self.announcers.iter().any(|announcer| announcer.asked > 0)
    }

    /// The announcer by which it would have come in fewest hops.
    pub(super) fn shortest(&self) -> Option<Announcer> {
        self.announcers.iter().copied().min_by_key(|announcer| announcer.hops)
    }

    /// Whom to ask next: whoever was asked least and owes little, then whom others are asked of
    /// anyway, then the nearest to the origin, then the nearest to this node.
    fn choose(&mut self, links: &Links, now: Instant, burdens: &Burdens) -> Choice {
        let unknown = Duration::MAX;
        let best = self.announcers.iter_mut().min_by_key(|announcer| {
            let node = announcer.node;
            let span = links.round_trip(node).unwrap_or(unknown);
            let Burden { owed, asked } = burdens.get(&node).copied().unwrap_or_default();
            (announcer.asked, owed / LITTLE, !asked, announcer.hops, span, node)
        });
        match best {
            Some(announcer) if announcer.asked < MOST_ASKED => {
                announcer.asked += 1;
                announcer.at = now;
                self.awaited = Some(announcer.node);
                Choice::Ask(announcer.node, announcer.asked)
            }
            Some(_) | None => Choice::GiveUp,
        }
    }
}

impl Missing {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn get_mut(&mut self, id: MessageId) -> Option<&mut Noted> {
        self.messages.get_mut(&id)
    }

    /// Notes who has a message; something must be done at `due` when it is the first one. Says
    /// whether this one had not announced it before.
    pub(super) fn note(&mut self, news: News, from: NodeId, now: Instant, due: Instant) -> bool {
        let News { id, hops, own, promote, subject } = news;
        let noted = self.messages.entry(id).or_insert_with(|| {
            self.due.insert((due, id));
            let (promote, subject, judged) = (false, None, false);
            let (awaited, announcers) = (None, Vec::new());
            Noted { since: now, due, own, promote, subject, judged, awaited, announcers }
        });
        noted.promote |= promote;
        noted.own |= own;
        noted.subject = noted.subject.take().or(subject);
        let known = noted.announcers.iter_mut().find(|announcer| announcer.node == from);
        match known {
            Some(announcer) => {
                announcer.hops = announcer.hops.min(hops);
                false
            }
            None => {
                noted.announcers.push(Announcer { node: from, hops, asked: 0, at: now });
                true
            }
        }
    }

    /// Whom to ask for a message, now that it is due.
    pub(super) fn choose(
        &mut self,
        id: MessageId,
        links: &Links,
        now: Instant,
        burdens: &Burdens,
    ) -> Choice {
        let noted = self.messages.get_mut(&id);
        noted.map_or(Choice::GiveUp, |noted| noted.choose(links, now, burdens))
    }

    /// What is asked of neighbours and may yet be answered.
    pub(super) fn burdens(&self, now: Instant) -> Burdens {
        let mut burdens = Burdens::new();
        // In most cases there is little, and who owes it makes no difference.
        if self.len() > LITTLE {
            let waiting = self.messages.values().filter(|noted| noted.due > now);
            for node in waiting.filter_map(|noted| noted.awaited) {
                burdens.entry(node).or_default().owed += 1;
            }
        }
        burdens
    }

    /// Whether a neighbour has a message that is missing here.
    pub(super) fn has(&self, id: MessageId, node: NodeId) -> bool {
        self.messages.get(&id).is_some_and(|noted| noted.announcer(node).is_some())
    }

    /// Who was asked for a message that is due, and since when its answer is awaited.
    pub(super) fn overdue(&self, id: MessageId) -> Option<(NodeId, Instant)> {
        let noted = self.messages.get(&id)?;
        let node = noted.awaited?;
        Some((node, noted.announcer(node)?.at))
    }

    /// Sets when something must be done about a message.
    pub(super) fn set_due(&mut self, id: MessageId, due: Instant) {
        if let Some(noted) = self.messages.get_mut(&id) {
            self.due.remove(&(noted.due, id));
            self.due.insert((due, id));
            noted.due = due;
        }
    }

    /// It came, or is given up.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Noted> {
        let noted = self.messages.remove(&id)?;
        self.due.remove(&(noted.due, id));
        Some(noted)
    }

    /// When something must be done next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The messages about which something must be done by now, in the order of their times.
    pub(super) fn due(&self, now: Instant) -> Vec<MessageId> {
        self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).collect()
    }

    /// A neighbour does not have a message after all, or cannot be asked any more: whoever else has
    /// it is asked now, if that was the one who was asked. Says whether it was an announcer.
    pub(super) fn retract(&mut self, id: MessageId, node: NodeId, now: Instant) -> bool {
        let Some(noted) = self.messages.get_mut(&id) else {
            return false;
        };
        let Some(place) = noted.announcers.iter().position(|announcer| announcer.node == node)
        else {
            return false;
        };
        noted.announcers.remove(place);
        let awaited = noted.awaited.take_if(|awaited| *awaited == node).is_some();
        if awaited || noted.announcers.is_empty() {
            self.set_due(id, now);
        }
        true
    }

    /// A neighbour is gone.
    pub(super) fn retract_all(&mut self, node: NodeId, now: Instant) {
        let ids: Vec<_> = self.messages.keys().copied().collect();
        for id in ids {
            self.retract(id, node, now);
        }
    }

    /// What was to come by a way that is lost is asked for now.
    pub(super) fn hurry(&mut self, now: Instant, is_lost: impl Fn(MessageId, &Noted) -> bool) {
        let waits = |(id, noted): &(&MessageId, &Noted)| {
            noted.due > now && !noted.was_any_asked() && is_lost(**id, noted)
        };
        let ids: Vec<_> = self.messages.iter().filter(waits).map(|(id, _)| *id).collect();
        for id in ids {
            self.set_due(id, now);
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        // E4: each has a time, and each time belongs to one.
        assert_eq!(self.due.len(), self.messages.len());
        assert!(self.messages.iter().all(|(id, noted)| self.due.contains(&(noted.due, *id))));
    }
}

impl Hash for Missing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.due.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, Instance};

    fn node(number: u64) -> NodeId {
        NodeId::from_u64(number)
    }

    fn id(sequence: u64) -> MessageId {
        let origin = Instance { node: node(99), incarnation: Incarnation(1) };
        MessageId { origin, sequence }
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::from_millis(milliseconds)
    }

    fn announced(by: &[(u64, u8)]) -> Missing {
        let mut missing = Missing::default();
        for (from, hops) in by {
            let news = News { id: id(1), hops: *hops, own: false, promote: true, subject: None };
            missing.note(news, node(*from), at(0), at(100));
        }
        missing
    }

    #[test]
    fn the_nearest_to_the_origin_is_asked_first_then_the_quickest_then_all_in_turn() {
        let mut missing = announced(&[(1, 5), (2, 3), (3, 3), (3, 9)]);
        let mut links = Links::default();
        (1..=3).for_each(|n| _ = links.insert(node(n)));
        links.get_mut(node(3)).unwrap().round_trip = Some(Duration::from_millis(5));
        let mut ask = |preferred: u64| {
            let burdens = Burdens::from([(node(preferred), Burden { owed: 1, asked: true })]);
            missing.choose(id(1), &links, at(0), &burdens)
        };
        assert_eq!(ask(9), Choice::Ask(node(3), 1));
        assert_eq!(ask(1), Choice::Ask(node(1), 1), "asked for others already");
        assert_eq!(ask(1), Choice::Ask(node(2), 1));
        assert_eq!(ask(9), Choice::Ask(node(3), 2));
        (0..14).for_each(|_| assert_ne!(ask(9), Choice::GiveUp));
        assert_eq!(ask(9), Choice::GiveUp);
    }

    /// Checklist B6, B10.
    #[test]
    fn when_the_one_who_was_asked_cannot_give_it_the_next_is_asked_at_once() {
        let mut missing = announced(&[(1, 1), (2, 2)]);
        assert!(missing.retract(id(1), node(2), at(10)) && missing.due(at(50)).is_empty());
        let mut missing = announced(&[(1, 1), (2, 2)]);
        let choose = |missing: &mut Missing, now| {
            missing.choose(id(1), &Links::default(), at(now), &Burdens::new())
        };
        assert_eq!(missing.overdue(id(1)), None);
        assert_eq!(choose(&mut missing, 100), Choice::Ask(node(1), 1));
        missing.set_due(id(1), at(200));
        assert_eq!(missing.overdue(id(1)), Some((node(1), at(100))));
        assert!(missing.retract(id(1), node(1), at(10)));
        assert_eq!(missing.due(at(10)), [id(1)]);
        assert_eq!(missing.overdue(id(1)), None, "it has answered");
        missing.check();
        missing.retract_all(node(2), at(11));
        assert_eq!(choose(&mut missing, 12), Choice::GiveUp);
        assert!(missing.remove(id(1)).is_some() && missing.next_due().is_none());
        assert!(!missing.retract(id(1), node(2), at(10)));
    }

    #[test]
    fn the_one_who_was_asked_before_may_go_while_another_is_awaited() {
        let mut missing = announced(&[(1, 1), (2, 2)]);
        let burdens = Burdens::new();
        for (asked, now) in [(1, 100), (2, 200)] {
            let choice = missing.choose(id(1), &Links::default(), at(now), &burdens);
            assert_eq!(choice, Choice::Ask(node(asked), 1));
        }
        missing.set_due(id(1), at(300));
        assert!(missing.retract(id(1), node(1), at(250)));
        assert_eq!(
            (missing.due(at(299)).len(), missing.overdue(id(1))),
            (0, Some((node(2), at(200))))
        );
    }

    /// Checklist B16.
    #[test]
    fn who_owes_much_is_asked_after_others() {
        let mut missing = announced(&[(1, 1), (2, 9)]);
        let burden = Burden { owed: LITTLE, asked: true };
        let burdens = Burdens::from([(node(1), burden)]);
        let choice = missing.choose(id(1), &Links::default(), at(100), &burdens);
        assert_eq!(choice, Choice::Ask(node(2), 1));
    }

    #[test]
    fn what_came_by_a_lost_way_is_asked_for_at_once() {
        let mut missing = announced(&[(1, 1)]);
        missing.hurry(at(5), |_, noted| noted.own);
        assert_eq!(missing.next_due(), Some(at(100)));
        missing.hurry(at(5), |_, _| true);
        assert_eq!(missing.next_due(), Some(at(5)));
        missing.check();
    }
}
