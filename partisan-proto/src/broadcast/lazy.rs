//! The lazy side: announcements in batches, what is missing, and asking for it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::engine::Engine;
use super::missing::{Choice, Missing, News, Noted};
use super::tree::Tree;
use crate::config::BroadcastConfig;
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

/// How many messages that one neighbour announced may be missing: it must not take all the room.
fn share_of_missing(config: &BroadcastConfig) -> usize {
    (config.max_missing / 4).max(1)
}

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
        // Soon there is no room to note more: what is missing cannot be waited for any longer.
        let share = share_of_missing(&cx.config.broadcast);
        if self.links.get(from).is_some_and(|link| link.missing > share / 2) {
            self.missing.hurry(cx.now, |_, _| true);
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
        if link.missing >= share_of_missing(config)
            || (!known && self.missing.len() >= config.max_missing)
        {
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
    /// such messages usually take, at least a round trip to the announcer, but not until nobody keeps
    /// it any more. Not at all when the way by which it would come is lost, or the announcer was
    /// grafted in its place and had sent this before it knew.
    fn patience(&self, cx: &Context<'_>, from: NodeId, id: MessageId, own: bool) -> Duration {
        let config = &cx.config.broadcast;
        let lost = |tree: &Tree| tree.is_orphan(cx.me.instance) || tree.is_grafted(from);
        if self.tree(self.known_tree(own, id)).is_some_and(lost) {
            return Duration::ZERO;
        }
        let usual = self.lags[usize::from(own)].timeout();
        let least = self.links.round_trip(from).unwrap_or_default();
        let kept = self.cache.turnover(cx.now, &config.cache);
        usual.min(kept / 2).max(least).min(config.max_graft_timeout)
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
        if let Some(at) = noted.asked_once(from) {
            self.links.learn_of_answer(from, cx.now.since(at));
        }
        self.remember_recent(id, noted);
    }

    /// Learns from a message that came again after it had been asked for and had come: by itself,
    /// or from somebody who was given too little time.
    pub(super) fn learn_from_duplicate(&mut self, cx: &Context<'_>, from: NodeId, id: MessageId) {
        let Some(place) = self.recent.iter().position(|(recent, _)| *recent == id) else {
            return;
        };
        let noted = &self.recent[place].1;
        if noted.was_asked(from) {
            if let Some(at) = noted.asked_once(from) {
                self.links.learn_of_answer(from, cx.now.since(at));
            }
            return;
        }
        let own = self.own.contains_key(&id.origin);
        self.lags[usize::from(own)].learn(cx.now.since(noted.since));
        self.counters.spurious_grafts += 1;
        self.recent.remove(place);
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
        let due = self.missing.due(cx.now);
        self.learn_of_silence(cx, &due);
        let mut burdens = self.missing.burdens(cx.now);
        for id in due {
            if self.ask_whether_stale(cx, id) {
                continue;
            }
            match self.missing.choose(id, &self.links, cx.now, &burdens) {
                Choice::Ask(node, times) => {
                    burdens.entry(node).or_default().add();
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

    /// Who has not answered takes longer than it was given. However much it owes it is one lesson.
    fn learn_of_silence(&mut self, cx: &Context<'_>, due: &[MessageId]) {
        let mut silent: BTreeMap<NodeId, Instant> = BTreeMap::new();
        for (node, at) in due.iter().filter_map(|id| self.missing.overdue(*id)) {
            let since = silent.entry(node).or_insert(at);
            *since = at.min(*since);
        }
        for (node, since) in silent {
            self.links.learn_of_answer(node, cx.now.since(since));
        }
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
                self.see(cx, id, true);
            }
        } else {
            self.missing.set_due(id, cx.now);
        }
        self.set_graft_timer(cx);
    }

    /// Until when to wait for the answer to a graft (the paper's second time-out): twice the round
    /// trip to the neighbour, at least as long as its answers usually take, and twice as long each
    /// time that it is asked again.
    fn wait_for_answer(&self, cx: &Context<'_>, node: NodeId, times: u8) -> Instant {
        let config = &cx.config.broadcast;
        let usual = self.links.round_trip(node).map(|span| span * 2);
        let answers = self.links.get(node).map(|link| link.answers.timeout());
        let usual = usual.unwrap_or(config.graft_timeout / 2).max(LEAST_WAIT);
        let usual = usual.max(answers.unwrap_or_default());
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
        if let Some(tree) = tree {
            self.take_way(cx, node, tree, &wanted);
        }
        self.counters.grafts += wanted.len() as u64;
        let mut wanted = wanted.into_iter().peekable();
        while wanted.peek().is_some() {
            let wanted = Bounded::from_first(wanted.by_ref().take(MAX_ANNOUNCED));
            let graft = Box::new(Graft { tree, wanted });
            cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Graft(graft)));
        }
    }

    /// By whom missing messages are asked for, others come from now on. The parent stays one besides,
    /// unless it has them too and only announced them: then its way is full, and the tree is whole.
    fn take_way(&mut self, cx: &mut Context<'_>, node: NodeId, id: TreeId, wanted: &[Wanted]) {
        let me = cx.me.instance;
        let Some(parent) = self.tree(id).map(|tree| tree.parent) else { return };
        let full = parent.filter(|parent| {
            *parent != node && wanted.iter().any(|one| self.missing.has(one.id, *parent))
        });
        let Some(tree) = self.tree_mut(id) else { return };
        tree.graft(node);
        if full.is_some() || tree.is_orphan(me) {
            tree.attach(node);
        }
        if let Some(full) = full.filter(|full| tree.demote(*full)) {
            self.send_prune(cx, full, id);
        }
    }

    /// A neighbour asks for messages.
    pub(super) fn grafted(&mut self, cx: &mut Context<'_>, from: NodeId, graft: Graft) {
        if !self.accept(cx, from) {
            return;
        }
        let Graft { tree, wanted } = graft;
        if let Some(tree) = tree.and_then(|tree| self.tree_mut(tree)) {
            tree.graft(from);
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
