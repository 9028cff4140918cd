//! Several requests under way, and whichever is answered next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::{RequestError, RequestHandle};
use crate::sync::lock;

/// Requests under way, each with a label that says what its answer is for
/// (`gen_server:reqids_new/0` and its kin): [`next`](Self::next) tells whichever is over first.
///
/// What is still under way when it is dropped is given up. So waiting with `tokio::time::timeout` is
/// `wait_response/3`, and dropping the collection after that `receive_response/3`. What an answer
/// costs does not depend on how many requests there are.
///
/// ```
/// # async fn doc(node: &partisan_tokio::Node, shops: Vec<partisan_tokio::NodeId>)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use partisan_tokio::{CallOptions, ProcessName, RequestCollection};
///
/// let name = ProcessName::new("stock")?;
/// let mut asked = RequestCollection::new();
/// for shop in shops {
///     let stock = node.send_request((shop, name.clone()), "apples?", CallOptions::default());
///     asked.add(shop, stock.await?);
/// }
/// while let Some((shop, stock)) = asked.next().await {
///     let stock: u64 = stock?;
///     println!("{shop} has {stock}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct RequestCollection<L, R> {
    requests: BTreeMap<u64, Entry<L, R>>,
    /// The number of the last one.
    last: u64,
    woken: Arc<Mutex<Woken>>,
}

/// Which request of a [`RequestCollection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(u64);

struct Entry<L, R> {
    label: L,
    request: RequestHandle<R>,
    waker: Waker,
}

/// The requests that have something to tell, and whom to wake for it.
#[derive(Debug, Default)]
struct Woken {
    requests: BTreeSet<u64>,
    waiting: Option<Waker>,
}

/// Wakes whoever waits for the collection, for the sake of one request.
struct WakeOne {
    number: u64,
    woken: Arc<Mutex<Woken>>,
}

impl<L, R> RequestCollection<L, R> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { requests: BTreeMap::new(), last: 0, woken: Arc::default() }
    }

    /// Adds a request; several may have one label (`reqids_add/3`).
    pub fn add(&mut self, label: L, request: RequestHandle<R>) -> RequestKey {
        self.last += 1;
        let (number, woken) = (self.last, Arc::clone(&self.woken));
        let waker = Waker::from(Arc::new(WakeOne { number, woken }));
        // It may be answered already.
        lock(&self.woken).requests.insert(number);
        self.requests.insert(number, Entry { label, request, waker });
        RequestKey(number)
    }

    /// Takes a request out as it is; `None` once its outcome was told or it was taken.
    pub fn remove(&mut self, key: RequestKey) -> Option<(L, RequestHandle<R>)> {
        let Entry { label, request, .. } = self.requests.remove(&key.0)?;
        Some((label, request))
    }

    /// How many are under way (`reqids_size/1`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// All that are under way, in the order in which they were added (`reqids_to_list/1`).
    pub fn labels(&self) -> impl Iterator<Item = (RequestKey, &L)> {
        self.requests.iter().map(|(number, entry)| (RequestKey(*number), &entry.label))
    }

    /// The next outcome, and the label of its request, which is taken out; `None` where none is
    /// under way. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> Option<(L, Result<R, RequestError>)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next outcome, if one has come already (`check_response/3`).
    pub fn check(&mut self) -> Option<(L, Result<R, RequestError>)> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(L, Result<R, RequestError>)>> {
        if self.requests.is_empty() {
            return Poll::Ready(None);
        }
        lock(&self.woken).waiting = Some(cx.waker().clone());
        loop {
            let Some(number) = lock(&self.woken).requests.pop_first() else {
                return Poll::Pending;
            };
            let Some(entry) = self.requests.get_mut(&number) else { continue };
            let polled = entry.request.poll_outcome(&mut Context::from_waker(&entry.waker));
            if let Poll::Ready(outcome) = polled {
                let label = self.requests.remove(&number).map(|entry| entry.label);
                return Poll::Ready(label.map(|label| (label, outcome)));
            }
        }
    }
}

impl<L, R> Default for RequestCollection<L, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: fmt::Debug, R> fmt::Debug for RequestCollection<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.labels()).finish()
    }
}

impl Wake for WakeOne {
    fn wake(self: Arc<Self>) {
        let mut woken = lock(&self.woken);
        woken.requests.insert(self.number);
        let waiting = woken.waiting.take();
        drop(woken);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}
