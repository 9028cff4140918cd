//! A virtual actor while it is active: a process that answers as long as its node may serve it.

use partisan_proto::Instant;
use partisan_proto::behaviour::Caller;
use partisan_proto::process::{Actor, ActorContext, Input};
use partisan_proto::wire::read_whole;
use serde::{Deserialize, Serialize};

use super::silo::SiloReply;

/// What a virtual actor does. It is active where and when it is asked something, and begins afresh
/// each time: what must outlive that belongs into a store.
pub trait Grain: std::fmt::Debug + Send + 'static {
    /// It becomes active.
    fn activate(id: &str) -> Self;

    /// It is asked something.
    fn handle(&mut self, request: &[u8]) -> Vec<u8>;
}

/// Something for an activation to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Of whom it is asked.
    pub id: String,
    /// What.
    pub request: Vec<u8>,
    /// Who waits for the answer.
    pub caller: Caller<SiloReply>,
    /// Until when it may be done, on the clock of its node, in nanoseconds.
    pub until: u64,
}

/// How a task begins, so that it is told from all else.
const MAGIC: &[u8] = b"task";

impl Task {
    /// As bytes.
    pub(super) fn write(&self) -> bytes::Bytes {
        // It always serialises: all of it came in that way.
        postcard::to_extend(self, MAGIC.to_vec()).unwrap_or_default().into()
    }

    /// From bytes, if they are one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        read_whole(bytes.strip_prefix(MAGIC)?).ok()
    }

    /// Whether it may still be done.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        now.as_nanos() < self.until
    }
}

/// A virtual actor that is active.
#[derive(Debug)]
pub(super) struct Activation<G>(pub(super) G);

impl<G: Grain> Actor for Activation<G> {
    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        let Input::Message { payload, .. } = input else {
            return;
        };
        let Some(task) = Task::read(&payload) else {
            return;
        };
        // Another node may serve it by now.
        if !task.is_due(cx.now()) {
            return task.caller.reply(cx, &SiloReply::Unavailable);
        }
        let answer = self.0.handle(&task.request);
        task.caller.reply(cx, &SiloReply::Answer { activation: cx.me(), answer });
    }
}
