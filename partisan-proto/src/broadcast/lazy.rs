//! The lazy side: announcements in batches, what is missing, and asking for it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::engine::Engine;
use super::missing::{Choice, Missing, News, Noted};
use crate::context::Context;
use crate::id::{MessageId, NodeId};
use crate::question::Question;
use crate::time::{Duration, Instant};
use crate::timers::{BroadcastTimer, Timer};
use crate::wire::{
    Announcement, Bounded, ControlMessage, Graft, MAX_ANNOUNCED, PlumtreeMessage, Subject, TreeId,
    Wanted,
};

/// The shortest wait for an answer to a graft.
const LEAST_WAIT: Duration = Duration::from_millis(20);

impl Engine {
    pub(super) fn set_announce_timer(&mut self, cx: &mut Context<'_>) {
        if !self.announcing {
            self.announcing = true;
            let after = cx.config.broadcast.announce_interval;
            Self::set_timer(cx, BroadcastTimer::Announce, after);
        }
    }

    /// Sends what is to be announced, to each neighbour in as few messages as hold it.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>) {
        self.announcing = false;
        for link in self.links.iter_mut() {
            let (node, list) = (link.node, core::mem::take(&mut link.announce));
            self.counters.announced += list.len() as u64;
            let mut list = list.into_iter().peekable();
            while list.peek().is_some() {
                let part = Bounded::from_first(list.by_ref().take(MAX_ANNOUNCED));
                cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::IHave(part)));
            }
        }
    }

    /// A neighbour announces messages.
    pub(super) fn announced(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        list: Bounded<Announcement, MAX_ANNOUNCED>,
    ) {
        if !self.accept(cx, from) {
            return;
        }
        self.counters.announcements += list.len() as u64;
        for Announcement { id, hops, own, subject } in list {
            self.note(cx, from, News { id, hops, own, promote: true, subject });
        }
        self.set_graft_timer(cx);
    }

    /// Notes that a link has a message, if it is missing here and there is room; says whether there
    /// was.
    pub(super) fn note(&mut self, cx: &Context<'_>, from: NodeId, news: News) -> bool {
        let (id, config, me) = (news.id, &cx.config.broadcast, cx.me.instance);
        let own = id.origin.node == me.node && id.origin.incarnation >= me.incarnation;
        if self.seen.contains(id) || own || id.sequence == 0 {
            return true;
        }
        let known = self.missing.get_mut(id).is_some();
        let Some(link) = self.links.get_mut(from) else { return false };
        // One neighbour must not take all the room.
        let share = (config.max_missing / 4).max(1);
        if link.missing >= share || (!known && self.missing.len() >= config.max_missing) {
            return false;
        }
        let due = cx.now + self.patience(cx, from, id, news.own);
        if self.missing.note(news, from, cx.now, due)
            && let Some(link) = self.links.get_mut(from)
        {
            link.missing += 1;
        }
        true
    }

    /// How long to wait for a message to come by itself (the paper's first time-out): as long as
    /// such messages usually take, at least a round trip to the announcer, and not at all when the
    /// way by which it would come is lost.
    fn patience(&self, cx: &Context<'_>, from: NodeId, id: MessageId, own: bool) -> Duration {
        let tree = self.known_tree(own, id);
        if self.tree(tree).is_some_and(|tree| tree.is_orphan(cx.me.instance)) {
            return Duration::ZERO;
        }
        let usual = self.lags[usize::from(own)].timeout();
        let least = self.links.round_trip(from).unwrap_or_default();
        usual.max(least).min(cx.config.broadcast.max_graft_timeout)
    }

    /// A message came, or is of no use: it is not missing any more.
    pub(super) fn forget_missing(&mut self, id: MessageId) -> Option<Noted> {
        let noted = self.missing.remove(id)?;
        for announcer in &noted.announcers {
            if let Some(link) = self.links.get_mut(announcer.node) {
                link.missing = link.missing.saturating_sub(1);
            }
        }
        Some(noted)
    }

    /// Learns from a message that had been announced before it came.
    pub(super) fn learn(&mut self, cx: &Context<'_>, from: NodeId, id: MessageId, noted: Noted) {
        let lag = cx.now.since(noted.since);
        if !noted.was_any_asked() {
            return self.lags[usize::from(noted.own)].learn(lag);
        }
        if !noted.was_asked(from) {
            // It came by itself while others were asked.
            self.counters.spurious_grafts += 1;
            self.lags[usize::from(noted.own)].learn(lag);
            return;
        }
        let asked = noted.announcers.iter().map(|announcer| announcer.node);
        let asked = asked.filter(|node| noted.was_asked(*node)).collect();
        self.remember_recent((id, noted.since, asked));
    }

    /// Learns from a message that came by itself after it had been asked for and had come.
    pub(super) fn learn_from_duplicate(&mut self, cx: &Context<'_>, from: NodeId, id: MessageId) {
        let place = self.recent.iter().position(|(recent, ..)| *recent == id);
        let Some((_, since, asked)) = place.and_then(|place| self.recent.get(place)) else {
            return;
        };
        if !asked.contains(&from) {
            let own = self.own.contains_key(&id.origin);
            self.lags[usize::from(own)].learn(cx.now.since(*since));
            self.counters.spurious_grafts += 1;
            self.recent.remove(place.unwrap_or_default());
        }
    }

    pub(super) fn set_graft_timer(&self, cx: &mut Context<'_>) {
        match self.missing.next_due() {
            Some(due) => cx.timers.set(Timer::Broadcast(BroadcastTimer::Graft), due.max(cx.now)),
            None => _ = cx.timers.cancel(Timer::Broadcast(BroadcastTimer::Graft)),
        }
    }

    /// Asks for what is due, each neighbour in as few messages as hold it.
    pub(super) fn graft(&mut self, cx: &mut Context<'_>) {
        let mut batches: BTreeMap<(NodeId, Option<TreeId>), Vec<Wanted>> = BTreeMap::new();
        let mut asked: Vec<NodeId> = Vec::new();
        for id in self.missing.due(cx.now) {
            if self.ask_whether_stale(cx, id) {
                continue;
            }
            let preferred = |node| asked.contains(&node);
            match self.missing.choose(id, &self.links, preferred) {
                Choice::Ask(node, times) => {
                    if !asked.contains(&node) {
                        asked.push(node);
                    }
                    let wait = self.wait_for_answer(cx, node, times);
                    self.missing.set_due(id, wait);
                    let (tree, subject) = self.wish(id);
                    batches.entry((node, tree)).or_default().push(Wanted { id, subject });
                }
                Choice::GiveUp => {
                    self.counters.given_up += 1;
                    self.forget_missing(id);
                }
            }
        }
        for ((node, tree), wanted) in batches {
            self.send_wishes(cx, node, tree, wanted);
        }
        self.set_graft_timer(cx);
    }

    /// Asks the handler that keeps it whether a missing message is of use, once; says whether its
    /// answer must be waited for.
    fn ask_whether_stale(&mut self, cx: &mut Context<'_>, id: MessageId) -> bool {
        let Some(noted) = self.missing.get_mut(id) else { return false };
        let (judged, subject) = (core::mem::replace(&mut noted.judged, true), &noted.subject);
        let Some(subject) = subject.as_ref().filter(|_| !judged) else {
            return false;
        };
        let keeps = self.handlers.get(subject.handler).is_some_and(|handler| handler.keeps());
        if !keeps || self.questions.is_full(cx) {
            return false;
        }
        let (handler, key) = (subject.handler, subject.key.to_vec().into());
        let question = cx.ask(Question::IsStale { handler, id, key });
        self.questions.is_stale(cx, question, id);
        self.missing.set_due(id, cx.now + cx.config.broadcast.question_timeout);
        true
    }

    /// A handler said whether a missing message is of use.
    pub(super) fn judged(&mut self, cx: &mut Context<'_>, id: MessageId, stale: bool) {
        if stale {
            if self.forget_missing(id).is_some() {
                self.seen.insert(id, cx.now, &cx.config.broadcast, &mut self.counters);
            }
        } else {
            self.missing.set_due(id, cx.now);
        }
        self.set_graft_timer(cx);
    }

    /// Until when to wait for the answer to a graft (the paper's second time-out): twice the round
    /// trip to the neighbour, and twice as long each time that it is asked again.
    fn wait_for_answer(&self, cx: &Context<'_>, node: NodeId, times: u8) -> Instant {
        let config = &cx.config.broadcast;
        let usual = self.links.round_trip(node).map(|span| span * 2);
        let usual = usual.unwrap_or(config.graft_timeout / 2).max(LEAST_WAIT);
        let longer = 1 << u32::from(times.saturating_sub(1)).min(8);
        cx.now + usual.saturating_mul(longer).min(config.max_graft_timeout.max(LEAST_WAIT))
    }

    /// In which tree whoever is asked for a message becomes an eager link, and what its handler
    /// calls it.
    fn wish(&mut self, id: MessageId) -> (Option<TreeId>, Option<Box<Subject>>) {
        let Some(noted) = self.missing.get_mut(id) else { return (None, None) };
        let (promote, own, subject) = (noted.promote, noted.own, noted.subject.clone());
        (promote.then(|| self.known_tree(own, id)), subject)
    }

    fn send_wishes(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        tree: Option<TreeId>,
        wanted: Vec<Wanted>,
    ) {
        let me = cx.me.instance;
        if let Some(tree) = tree.and_then(|tree| self.tree_mut(tree)) {
            tree.promote(node);
            if tree.is_orphan(me) {
                tree.attach(node);
            }
        }
        self.counters.grafts += wanted.len() as u64;
        let mut wanted = wanted.into_iter().peekable();
        while wanted.peek().is_some() {
            let wanted = Bounded::from_first(wanted.by_ref().take(MAX_ANNOUNCED));
            let graft = Box::new(Graft { tree, wanted });
            cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Graft(graft)));
        }
    }

    /// A neighbour asks for messages.
    pub(super) fn grafted(&mut self, cx: &mut Context<'_>, from: NodeId, graft: Graft) {
        if !self.accept(cx, from) {
            return;
        }
        let Graft { tree, wanted } = graft;
        if let Some(tree) = tree.and_then(|tree| self.tree_mut(tree)) {
            tree.promote(from);
        }
        let mut lacking = Vec::new();
        for Wanted { id, subject } in wanted {
            match self.cache.get(id).cloned() {
                // When the lane cannot take it, the neighbour asks again.
                Some(message) => _ = self.push(cx, from, &message),
                None if self.fetch(cx, from, id, subject.as_deref(), tree) => {}
                None => lacking.push(id),
            }
        }
        self.say_not_found(cx, from, lacking);
    }

    pub(super) fn say_not_found(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        lacking: Vec<MessageId>,
    ) {
        if !lacking.is_empty() {
            self.counters.not_found += lacking.len() as u64;
            let list = Bounded::from_first(lacking);
            cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::NotFound(list)));
        }
    }

    /// A neighbour does not have messages that it announced: the next one is asked.
    pub(super) fn not_found(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        list: impl IntoIterator<Item = MessageId>,
    ) {
        for id in list {
            if self.missing.retract(id, from, cx.now)
                && let Some(link) = self.links.get_mut(from)
            {
                link.missing = link.missing.saturating_sub(1);
            }
        }
        self.set_graft_timer(cx);
    }

    /// Messages of a tree do not come by the way any more by which they came.
    pub(super) fn lose_parent(&mut self, cx: &mut Context<'_>, id: TreeId, gone: NodeId) {
        self.reattach(cx, id, gone);
        let Self { missing, own, .. } = self;
        let missing: &mut Missing = missing;
        missing.hurry(cx.now, |message, noted| match id {
            TreeId::Own(root) => noted.own && message.origin == root,
            TreeId::Shared => !(noted.own && own.contains_key(&message.origin)),
        });
    }
}
