//! Questions to handlers that keep their messages, and their answers.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::engine::Engine;
use crate::context::Context;
use crate::id::{MessageId, NodeId};
use crate::question::{Fetched, Merged, Question, QuestionId, Response};
use crate::time::Instant;
use crate::timers::{BroadcastTimer, Timer};
use crate::wire::{BroadcastMessage, Subject, TreeId};

/// The questions under way, in the order of asking, which is that of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<QuestionId, (Instant, Asked)>);

#[derive(Debug)]
enum Asked {
    /// To take a message that came by a neighbour, and that others have.
    Merge { message: Arc<BroadcastMessage>, via: NodeId, known: Vec<NodeId> },
    /// Whether a missing message is of use.
    IsStale(MessageId),
    /// For a message that a neighbour asks for, without its payload.
    Fetch { to: NodeId, message: BroadcastMessage },
}

impl Questions {
    /// Whether there is no room for another.
    pub(super) fn is_full(&self, cx: &Context<'_>) -> bool {
        self.0.len() >= cx.config.broadcast.max_questions
    }

    pub(super) fn merge(
        &mut self,
        cx: &mut Context<'_>,
        id: QuestionId,
        message: Arc<BroadcastMessage>,
        via: NodeId,
        known: Vec<NodeId>,
    ) {
        self.add(cx, id, Asked::Merge { message, via, known });
    }

    pub(super) fn is_stale(&mut self, cx: &mut Context<'_>, id: QuestionId, message: MessageId) {
        self.add(cx, id, Asked::IsStale(message));
    }

    fn add(&mut self, cx: &mut Context<'_>, id: QuestionId, asked: Asked) {
        let deadline = cx.now + cx.config.broadcast.question_timeout;
        self.0.insert(id, (deadline, asked));
        self.set_timer(cx);
    }

    fn set_timer(&self, cx: &mut Context<'_>) {
        let timer = Timer::Broadcast(BroadcastTimer::Questions);
        match self.0.first_key_value() {
            Some((_, (deadline, _))) => cx.timers.set(timer, (*deadline).max(cx.now)),
            None => _ = cx.timers.cancel(timer),
        }
    }

    /// A neighbour is gone: nobody waits for what it asked for.
    pub(super) fn forget_peer(&mut self, node: NodeId) {
        let waits = |asked: &Asked| !matches!(asked, Asked::Fetch { to, .. } if *to == node);
        self.0.retain(|_, (_, asked)| waits(asked));
    }
}

impl Engine {
    /// A handler has answered.
    pub(super) fn answered(&mut self, cx: &mut Context<'_>, id: QuestionId, response: Response) {
        let response = match response {
            Response::ExchangeEnded(result) => return self.exchange_answered(cx, id, result),
            response => response,
        };
        let fits = self.questions.0.get(&id).is_some_and(|(_, asked)| {
            matches!(
                (asked, &response),
                (Asked::Merge { .. }, Response::Merge(_))
                    | (Asked::IsStale(_), Response::IsStale(_))
                    | (Asked::Fetch { .. }, Response::Fetch(_))
            )
        });
        if !fits {
            return;
        }
        let asked = self.questions.0.remove(&id);
        self.questions.set_timer(cx);
        match (asked, response) {
            (Some((_, Asked::Merge { message, via, known })), Response::Merge(how)) => {
                self.merged(cx, &message, via, &known, how);
            }
            (Some((_, Asked::IsStale(id))), Response::IsStale(stale)) => {
                self.judged(cx, id, stale);
            }
            (Some((_, Asked::Fetch { to, message })), Response::Fetch(fetched)) => {
                self.fetched(cx, to, message, fetched);
            }
            _ => {}
        }
    }

    /// Some questions were not answered in time.
    pub(super) fn end_questions(&mut self, cx: &mut Context<'_>) {
        while let Some(first) = self.questions.0.first_entry() {
            if first.get().0 > cx.now {
                break;
            }
            match first.remove().1 {
                Asked::Merge { message, via, known } => {
                    self.merged(cx, &message, via, &known, Merged::Failed);
                }
                Asked::IsStale(id) => {
                    self.counters.failed_questions += 1;
                    self.judged(cx, id, false);
                }
                Asked::Fetch { to, message } => {
                    self.counters.failed_questions += 1;
                    self.fetched(cx, to, message, Fetched::Missing);
                }
            }
        }
        self.questions.set_timer(cx);
    }

    /// Asks the handler that keeps it for a message that a neighbour wants; says whether it can be
    /// asked.
    pub(super) fn fetch(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        id: MessageId,
        subject: Option<&Subject>,
        tree: Option<TreeId>,
    ) -> bool {
        let Some(Subject { handler, key }) = subject else {
            return false;
        };
        let keeps = self.handlers.get(*handler).is_some_and(|handler| handler.keeps());
        // Only what has been here: a handler may not know what was never merged.
        if !keeps || !self.seen.contains(id) || self.questions.is_full(cx) {
            return false;
        }
        let (handler, key) = (*handler, bytes::Bytes::copy_from_slice(key));
        let question = cx.ask(Question::Fetch { handler, id, key: key.clone() });
        let own = matches!(tree, Some(TreeId::Own(_)));
        let payload = bytes::Bytes::new();
        // How far it came is forgotten; that it is one hop more is all that is known.
        let message = BroadcastMessage { id, hops: 1, own, stored: true, handler, key, payload };
        self.questions.add(cx, question, Asked::Fetch { to, message });
        true
    }

    fn fetched(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        message: BroadcastMessage,
        fetched: Fetched,
    ) {
        match fetched {
            Fetched::Found(payload) => {
                let message = Arc::new(BroadcastMessage { payload, ..message });
                self.push(cx, to, &message);
            }
            Fetched::Stale | Fetched::Missing => {
                self.say_not_found(cx, to, alloc::vec![message.id]);
            }
        }
    }
}
