//! Servers that keep the messages of a broadcast handler.
//!
//! A handler whose messages the application keeps
//! ([`StoreConfig::Application`](crate::config::StoreConfig::Application)) is asked [`Question`]s.
//! Here they become calls of a server, so that a store is a pure machine as every other server is:
//! whoever drives the node asks the server and gives the node the answer.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::id::{HandlerId, Instance};
use crate::question::{ExchangeResult, Fetched, Merged, Question, Response};

/// A [`Question`] about the messages of a handler, as its server is asked
/// (`partisan_plumtree_broadcast_handler`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreQuestion {
    /// Take this message into the store (`merge/2`): answered by [`StoreAnswer::New`],
    /// [`StoreAnswer::Stale`], [`StoreAnswer::Invalid`] or [`StoreAnswer::Failed`].
    Merge {
        /// What it is called.
        key: Vec<u8>,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Is a message of this name of no use any more (`is_stale/1`)? Answered by
    /// [`StoreAnswer::Stale`] or anything else.
    IsStale {
        /// What it is called.
        key: Vec<u8>,
    },
    /// What does the message of this name say (`graft/1`)? Answered by [`StoreAnswer::Found`],
    /// [`StoreAnswer::Stale`] or [`StoreAnswer::Missing`].
    Fetch {
        /// What it is called.
        key: Vec<u8>,
    },
    /// Compare the store with that of a neighbour (`exchange/1`): answered by
    /// [`StoreAnswer::Done`], [`StoreAnswer::Failed`] or [`StoreAnswer::Ignored`] when it is over.
    Exchange {
        /// With whom.
        peer: Instance,
    },
}

/// What a server answers to a [`StoreQuestion`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreAnswer {
    /// It was news.
    New,
    /// The store has it, or something newer.
    Stale,
    /// It is no message of this handler's.
    Invalid,
    /// The store failed, or an exchange was cut short.
    Failed,
    /// What it says.
    Found(Vec<u8>),
    /// The store does not have it.
    Missing,
    /// Both stores are up to date.
    Done,
    /// There is nothing to exchange.
    Ignored,
}

/// A protocol among whose calls are the questions about a handler's messages.
pub trait StoreProtocol: Protocol<Call: From<StoreQuestion>, Reply: TryInto<StoreAnswer>> {}

impl<P: Protocol<Call: From<StoreQuestion>, Reply: TryInto<StoreAnswer>>> StoreProtocol for P {}

impl StoreQuestion {
    /// What a server is asked for a question of its node's, and about which handler; `None` for a
    /// question that is about no handler.
    #[must_use]
    pub fn of(question: &Question) -> Option<(HandlerId, Self)> {
        Some(match question {
            Question::Merge(message) => {
                let (key, payload) = (message.key.to_vec(), message.payload.to_vec());
                (message.handler, Self::Merge { key, payload })
            }
            Question::IsStale { handler, key, .. } => {
                (*handler, Self::IsStale { key: key.to_vec() })
            }
            Question::Fetch { handler, key, .. } => (*handler, Self::Fetch { key: key.to_vec() }),
            Question::Exchange { handler, peer, .. } => (*handler, Self::Exchange { peer: *peer }),
            Question::Cost { .. } => return None,
        })
    }
}

impl StoreAnswer {
    /// The answer to a node's question; one that does not fit it counts as a failure.
    #[must_use]
    pub fn response(self, question: &Question) -> Option<Response> {
        Some(match question {
            Question::Merge(_) => Response::Merge(self.merged()),
            Question::IsStale { .. } => Response::IsStale(self == Self::Stale),
            Question::Fetch { .. } => Response::Fetch(self.fetched()),
            Question::Exchange { .. } => Response::ExchangeEnded(self.ended()),
            Question::Cost { .. } => return None,
        })
    }

    /// As the answer to [`StoreQuestion::Merge`].
    #[must_use]
    pub const fn merged(&self) -> Merged {
        match self {
            Self::New => Merged::New,
            Self::Stale => Merged::Stale,
            Self::Invalid => Merged::Invalid,
            _ => Merged::Failed,
        }
    }

    /// As the answer to [`StoreQuestion::Fetch`].
    #[must_use]
    pub fn fetched(self) -> Fetched {
        match self {
            Self::Found(payload) => Fetched::Found(payload.into()),
            Self::Stale => Fetched::Stale,
            _ => Fetched::Missing,
        }
    }

    /// As the answer to [`StoreQuestion::Exchange`].
    #[must_use]
    pub const fn ended(&self) -> ExchangeResult {
        match self {
            Self::Done => ExchangeResult::Done,
            Self::Ignored => ExchangeResult::Ignored,
            _ => ExchangeResult::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, MessageId, NodeId};
    use crate::question::ExchangeId;
    use bytes::Bytes;

    fn instance() -> Instance {
        Instance { node: NodeId::from_u64(1), incarnation: Incarnation(2) }
    }

    fn fetch() -> Question {
        let (handler, id) = (HandlerId::from_u64(3), MessageId { origin: instance(), sequence: 1 });
        Question::Fetch { handler, id, key: Bytes::from_static(b"k") }
    }

    #[test]
    fn a_question_becomes_a_call_and_its_reply_an_answer() {
        let (handler, asked) = StoreQuestion::of(&fetch()).unwrap();
        let expected = StoreQuestion::Fetch { key: b"k".to_vec() };
        assert_eq!((handler, asked), (HandlerId::from_u64(3), expected));
        let found = StoreAnswer::Found(b"v".to_vec()).response(&fetch());
        assert_eq!(found, Some(Response::Fetch(Fetched::Found(Bytes::from_static(b"v")))));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_a_failure() {
        let exchange = Question::Exchange {
            exchange: ExchangeId(1),
            handler: HandlerId::from_u64(3),
            peer: instance(),
        };
        let failed = Response::ExchangeEnded(ExchangeResult::Failed);
        assert_eq!(StoreAnswer::New.response(&exchange), Some(failed));
        assert_eq!(StoreAnswer::Done.response(&fetch()), Some(Response::Fetch(Fetched::Missing)));
        assert_eq!(StoreAnswer::Done.merged(), Merged::Failed);
    }
}
