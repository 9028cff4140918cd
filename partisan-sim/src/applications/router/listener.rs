//! A subscriber that keeps what it hears until it is asked.

use std::collections::VecDeque;

use partisan_proto::ProcessName;
use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Init, Next, Protocol, ServerRef,
};
use partisan_proto::process::ActorContext;
use partisan_proto::wire::read_whole;
use serde::{Deserialize, Serialize};

use super::server::{Event, Router, RouterCall, Topic};
use super::server_name;
use crate::applications::process_name;

/// The most events that a listener keeps; the oldest are dropped, and counted.
pub const MAX_HEARD: usize = 4_096;

/// What a listener has heard since it was asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The events, in the order in which they came.
    pub events: VecDeque<Event>,
    /// How many before them were dropped for want of room.
    pub dropped: u64,
}

/// A subscriber that keeps what it hears. Any call takes it.
#[derive(Debug)]
pub struct Listener {
    topics: Vec<Topic>,
    heard: Heard,
}

impl Listener {
    /// One that subscribes to these topics when it begins.
    #[must_use]
    pub fn new(topics: Vec<Topic>) -> Self {
        Self { topics, heard: Heard::default() }
    }

    /// The name of the so manieth listener of a node.
    #[must_use]
    pub fn name(number: usize) -> ProcessName {
        process_name(&format!("listener-{number}"))
    }
}

impl Protocol for Listener {
    type Call = ();
    type Reply = Heard;
    type Cast = ();
}

impl GenServer for Listener {
    type Continue = ();

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Init<Self> {
        let router = ServerRef::<Router>::named(cx.me().node, server_name());
        for topic in std::mem::take(&mut self.topics) {
            // A router that refuses has no room; then nothing is heard of that topic.
            _ = router.call(cx, &RouterCall::Subscribe(topic, cx.me()), None);
        }
        Init::Run(Next::Wait)
    }

    fn handle_call(
        &mut self,
        (): (),
        _from: Caller<Heard>,
        _cx: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        CallResult::reply(std::mem::take(&mut self.heard))
    }

    fn handle_cast(&mut self, (): (), _cx: &mut ActorContext<'_>) -> Next<Self> {
        Next::Wait
    }

    fn handle_info(&mut self, info: Info, _cx: &mut ActorContext<'_>) -> Next<Self> {
        if let Info::Message { payload, .. } = info
            && let Ok(event) = read_whole(&payload)
        {
            self.heard.events.push_back(event);
            if self.heard.events.len() > MAX_HEARD {
                self.heard.events.pop_front();
                self.heard.dropped += 1;
            }
        }
        Next::Wait
    }
}
