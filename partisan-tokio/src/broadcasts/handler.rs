//! Stores and oracles of the application: each is asked in a task of its own, so that one that
//! panics or stands still harms nobody. The protocol has deadlines of its own.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{
    Event, ExchangeId, ExchangeResult, Fetched, HandlerId, Instance, Merged, MessageId, NodeSpec,
    Question, QuestionId, Response,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::event_loop::LoopEvent;
use crate::sync::lock;

/// How many questions wait for one store or oracle; what would be another is not answered.
const MOST_WAITING: usize = 1024;

/// A failure of a store: logged, and told to the protocol.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Messages of a handler that the application keeps itself
/// (`partisan_plumtree_broadcast_handler`).
///
/// Asked one question at a time, but for exchanges, which go on beside them. What takes longer than
/// [`DriverConfig::answer_deadline`](crate::DriverConfig::answer_deadline) counts as failed, and a
/// panic does too; the store is asked again all the same.
pub trait BroadcastHandler: Send + 'static {
    /// Whether this is a message of this handler's at all; one that is not is passed on to nobody.
    /// Asked before [`BroadcastHandler::merge`].
    fn is_valid(&mut self, _message: &BroadcastMessage) -> bool {
        true
    }

    /// Takes a message into the store (`merge/2`); says whether it was news.
    ///
    /// # Errors
    /// The store's own; the message is asked about again when it comes again.
    fn merge(
        &mut self,
        message: Arc<BroadcastMessage>,
    ) -> impl Future<Output = Result<bool, HandlerError>> + Send;

    /// Whether this message, which a neighbour has, is of no use here any more (`is_stale/1`).
    fn is_stale(&mut self, id: MessageId, key: Bytes) -> impl Future<Output = bool> + Send;

    /// What this message says, which a neighbour lacks (`graft/1`).
    fn fetch(&mut self, id: MessageId, key: Bytes) -> impl Future<Output = Fetched> + Send;

    /// Begins to compare the store with that of a neighbour, by messages of its own, and to bring
    /// both up to date (`exchange/1`). What is returned runs in a task of its own until it ends, or
    /// the exchange is cancelled; what it needs it must take along. Nothing is exchanged, by
    /// default.
    fn exchange(
        &mut self,
        _exchange: Exchange,
    ) -> impl Future<Output = ExchangeResult> + Send + 'static {
        std::future::ready(ExchangeResult::Ignored)
    }
}

/// An exchange to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What it is called.
    pub id: ExchangeId,
    /// With whom.
    pub peer: Instance,
}

/// Tells what links cost, for overlays that look for cheap ones (X-BOT).
pub trait CostOracle: Send + 'static {
    /// The cost of a link to this node in a unit of the application's choice, the less the better;
    /// `None` when it cannot be told.
    fn cost(&mut self, spec: Arc<NodeSpec>) -> impl Future<Output = Option<u32>> + Send;
}

/// Keeps a store or an oracle registered; dropping it ends that.
#[derive(Debug)]
#[must_use = "it is removed when this is dropped"]
pub struct Registration {
    answerers: Arc<Answerers>,
    /// None: the oracle.
    handler: Option<HandlerId>,
    task: AbortHandle,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.task.abort();
        self.answerers.remove(self.handler);
    }
}

/// Something for the task of a store or an oracle.
#[derive(Debug)]
enum Job {
    Ask(QuestionId, Question),
    /// An exchange is over, whatever its task does.
    Over(ExchangeId),
}

/// Who answers which questions.
#[derive(Debug)]
pub(crate) struct Answerers {
    deadline: Duration,
    stores: Mutex<HashMap<HandlerId, mpsc::Sender<Job>>>,
    oracle: Mutex<Option<mpsc::Sender<Job>>>,
}

impl Answerers {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { deadline, stores: Mutex::default(), oracle: Mutex::default() }
    }

    /// `None` when there is another.
    pub(crate) fn keep(
        self: &Arc<Self>,
        handler: HandlerId,
        name: &str,
        store: impl BroadcastHandler,
        events: mpsc::Sender<LoopEvent>,
    ) -> Option<Registration> {
        let mut stores = lock(&self.stores);
        if stores.contains_key(&handler) {
            return None;
        }
        let (sender, jobs) = mpsc::channel(MOST_WAITING);
        stores.insert(handler, sender);
        let answering = Answering { name: name.into(), deadline: self.deadline, events };
        let task = tokio::spawn(serve_store(store, jobs, answering)).abort_handle();
        Some(Registration { answerers: Arc::clone(self), handler: Some(handler), task })
    }

    /// `None` when there is another.
    pub(crate) fn judge(
        self: &Arc<Self>,
        oracle: impl CostOracle,
        events: mpsc::Sender<LoopEvent>,
    ) -> Option<Registration> {
        let mut place = lock(&self.oracle);
        if place.is_some() {
            return None;
        }
        let (sender, jobs) = mpsc::channel(MOST_WAITING);
        *place = Some(sender);
        let name = "the cost oracle".into();
        let answering = Answering { name, deadline: self.deadline, events };
        let task = tokio::spawn(serve_oracle(oracle, jobs, answering)).abort_handle();
        Some(Registration { answerers: Arc::clone(self), handler: None, task })
    }

    fn remove(&self, handler: Option<HandlerId>) {
        match handler {
            Some(handler) => drop(lock(&self.stores).remove(&handler)),
            None => *lock(&self.oracle) = None,
        }
    }

    /// Hands a question to whoever answers it; at once with the answer of nobody, where there is
    /// nobody.
    pub(crate) fn ask(&self, id: QuestionId, question: Question) -> Option<Event> {
        let answerer = match handler_of(&question) {
            Some(handler) => lock(&self.stores).get(&handler).cloned(),
            None => lock(&self.oracle).clone(),
        };
        let Some(answerer) = answerer else {
            return of_nobody(&question).map(|response| Event::Answered { id, response });
        };
        if answerer.try_send(Job::Ask(id, question)).is_err() {
            tracing::warn!("a store or oracle has too many questions; one stays unanswered");
        }
        None
    }

    pub(crate) fn exchange_over(&self, handler: HandlerId, exchange: ExchangeId) {
        if let Some(store) = lock(&self.stores).get(&handler) {
            // One that is so busy learns nothing; the protocol does not wait for it any more.
            let _ = store.try_send(Job::Over(exchange));
        }
    }
}

/// Whose store a question is about; that of none is for the oracle.
fn handler_of(question: &Question) -> Option<HandlerId> {
    match question {
        Question::Merge(message) => Some(message.handler),
        Question::IsStale { handler, .. }
        | Question::Fetch { handler, .. }
        | Question::Exchange { handler, .. } => Some(*handler),
        _ => None,
    }
}

/// What is true as long as nobody has registered.
fn of_nobody(question: &Question) -> Option<Response> {
    Some(match question {
        Question::Cost { .. } => Response::Cost(None),
        Question::Merge(_) => Response::Merge(Merged::Failed),
        Question::IsStale { .. } => Response::IsStale(false),
        Question::Fetch { .. } => Response::Fetch(Fetched::Missing),
        Question::Exchange { .. } => Response::ExchangeEnded(ExchangeResult::Ignored),
        _ => return None,
    })
}

/// How the task of a store or an oracle answers.
#[derive(Clone, Debug)]
struct Answering {
    name: Arc<str>,
    deadline: Duration,
    events: mpsc::Sender<LoopEvent>,
}

/// Why there is no answer.
#[derive(Debug)]
enum Unanswered {
    Panicked,
    TooLate,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked => "it panicked",
            Self::TooLate => "it did not answer in time",
        })
    }
}

impl Answering {
    async fn answer(&self, id: QuestionId, response: Response) {
        // Without a loop there is nobody to tell.
        let _ = self.events.send(LoopEvent::Answered { id, response }).await;
    }

    /// Runs what may panic or never end; tells the log of it.
    async fn guarded<T>(&self, what: &'static str, ask: impl Future<Output = T>) -> Option<T> {
        let outcome = match tokio::time::timeout(self.deadline, unpanicked(ask)).await {
            Ok(Some(value)) => return Some(value),
            Ok(None) => Unanswered::Panicked,
            Err(_) => Unanswered::TooLate,
        };
        tracing::error!(handler = %self.name, what, "no answer: {outcome}");
        None
    }
}

/// `None` when it panics.
async fn unpanicked<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

async fn serve_oracle(
    mut oracle: impl CostOracle,
    mut jobs: mpsc::Receiver<Job>,
    answering: Answering,
) {
    while let Some(job) = jobs.recv().await {
        if let Job::Ask(id, Question::Cost { spec, .. }) = job {
            let cost = answering.guarded("cost", async { oracle.cost(spec).await }).await;
            answering.answer(id, Response::Cost(cost.flatten())).await;
        }
    }
}

async fn serve_store(
    mut store: impl BroadcastHandler,
    mut jobs: mpsc::Receiver<Job>,
    answering: Answering,
) {
    let mut exchanges = JoinSet::new();
    let mut under_way: HashMap<ExchangeId, AbortHandle> = HashMap::new();
    loop {
        let job = tokio::select! {
            job = jobs.recv() => job,
            Some(ended) = exchanges.join_next(), if !exchanges.is_empty() => {
                if let Ok(exchange) = ended {
                    under_way.remove(&exchange);
                }
                continue;
            }
        };
        match job {
            None => return,
            Some(Job::Over(exchange)) => {
                if let Some(task) = under_way.remove(&exchange) {
                    task.abort();
                }
            }
            Some(Job::Ask(id, Question::Exchange { exchange, peer, .. })) => {
                let begun = Exchange { id: exchange, peer };
                #[expect(clippy::async_yields_async, reason = "the work is another task's")]
                let begun = unpanicked(async { store.exchange(begun) }).await;
                let Some(work) = begun else {
                    let failed = Response::ExchangeEnded(ExchangeResult::Failed);
                    answering.answer(id, failed).await;
                    continue;
                };
                let answering = answering.clone();
                let task = exchanges.spawn(async move {
                    let result = unpanicked(work).await.unwrap_or(ExchangeResult::Failed);
                    answering.answer(id, Response::ExchangeEnded(result)).await;
                    exchange
                });
                under_way.insert(exchange, task);
            }
            Some(Job::Ask(id, question)) => {
                if let Some(response) = consult(&mut store, question, &answering).await {
                    answering.answer(id, response).await;
                }
            }
        }
    }
}

/// Puts one question to a store.
async fn consult(
    store: &mut impl BroadcastHandler,
    question: Question,
    answering: &Answering,
) -> Option<Response> {
    Some(match question {
        Question::Merge(message) => {
            let merge = async {
                if !store.is_valid(&message) {
                    return Merged::Invalid;
                }
                match store.merge(message).await {
                    Ok(true) => Merged::New,
                    Ok(false) => Merged::Stale,
                    Err(error) => {
                        tracing::error!(handler = %answering.name, %error, "merge failed");
                        Merged::Failed
                    }
                }
            };
            let merged = answering.guarded("merge", merge).await;
            Response::Merge(merged.unwrap_or(Merged::Failed))
        }
        Question::IsStale { id, key, .. } => {
            let stale = async { store.is_stale(id, key).await };
            Response::IsStale(answering.guarded("is_stale", stale).await.unwrap_or(false))
        }
        Question::Fetch { id, key, .. } => {
            let fetch = async { store.fetch(id, key).await };
            let fetched = answering.guarded("fetch", fetch).await;
            Response::Fetch(fetched.unwrap_or(Fetched::Missing))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
