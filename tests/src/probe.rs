//! A process that does what a scenario wants and writes down what it is told.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use partisan_proto::process::{Actor, ActorContext, Input};
use partisan_proto::wire::Destination;
use partisan_proto::{ChannelId, Command, ExitReason, ProcessId, Send, Signal, Target};

use crate::Cluster;

/// What makes a probe do what it was given.
const GO: &[u8] = b"go";

type Order = Box<dyn FnOnce(&mut ActorContext<'_>) + core::marker::Send>;

/// Called whenever something happened that a condition could depend on.
pub type Notice = Arc<dyn Fn() + core::marker::Send + Sync>;

/// A process of a scenario, as the scenario holds it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// On which node.
    pub node: usize,
    /// Which process.
    pub id: ProcessId,
    diary: Diary,
}

#[derive(Clone, Default)]
struct Diary {
    seen: Arc<Mutex<Vec<Input>>>,
    orders: Arc<Mutex<VecDeque<Order>>>,
}

impl fmt::Debug for Diary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.seen.lock().expect("sound").iter()).finish()
    }
}

struct Machine {
    diary: Diary,
    notice: Notice,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.diary, f)
    }
}

impl Actor for Machine {
    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        match input {
            Input::Message { payload, .. } if payload == GO => {
                let order = self.diary.orders.lock().expect("sound").pop_front();
                order.into_iter().for_each(|order| order(cx));
            }
            input => self.diary.seen.lock().expect("sound").push(input),
        }
        (self.notice)();
    }
}

impl Probe {
    /// Brings a probe to life on a node.
    pub fn spawn(cluster: &mut impl Cluster, node: usize, trap_exit: bool) -> Self {
        let diary = Diary::default();
        let machine = Machine { diary: diary.clone(), notice: cluster.notice() };
        let id = cluster.spawn(node, machine, trap_exit);
        Self { node, id, diary }
    }

    /// Has it do something, and waits until that is done.
    pub fn order<T: core::marker::Send + 'static>(
        &self,
        cluster: &mut impl Cluster,
        order: impl FnOnce(&mut ActorContext<'_>) -> T + core::marker::Send + 'static,
    ) -> T {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let order: Order = Box::new(move |cx| {
            let done = order(cx);
            *place.lock().expect("sound") = Some(done);
        });
        self.diary.orders.lock().expect("sound").push_back(order);
        let send = Send {
            to: self.id.node,
            channel: ChannelId::DEFAULT,
            key: None,
            destination: Destination::of(&Target::Process(self.id)),
            relay: false,
            payload: Bytes::from_static(GO),
        };
        let asked = cluster.ask(self.node, Command::Send(send));
        cluster.wait_for_answer(asked).expect("it is on its own node");
        cluster.wait("a process", |_| result.lock().expect("sound").is_some());
        let done = result.lock().expect("sound").take();
        done.expect("just waited for")
    }

    /// What it was told so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Input> {
        self.diary.seen.lock().expect("sound").clone()
    }

    /// The signals among that.
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        let signal = |input| match input {
            Input::Signal(signal) => Some(signal),
            _ => None,
        };
        self.seen().into_iter().filter_map(signal).collect()
    }

    /// Waits until it was told so many things, and says which.
    pub fn wait(&self, cluster: &mut impl Cluster, count: usize) -> Vec<Input> {
        let what = format!("{count} inputs of {self:?}");
        cluster.wait(&what, |_| self.seen().len() >= count);
        self.seen()
    }

    /// Waits for its next signal after the first `before`, and says which.
    pub fn signal(&self, cluster: &mut impl Cluster, before: usize) -> Signal {
        let what = format!("a signal after {before} of {self:?}");
        cluster.wait(&what, |_| self.signals().len() > before);
        self.signals().swap_remove(before)
    }

    /// Ends it, and does not wait for that.
    pub fn end(&self, cluster: &mut impl Cluster, reason: ExitReason) {
        self.order(cluster, move |cx| cx.end(reason));
    }
}
