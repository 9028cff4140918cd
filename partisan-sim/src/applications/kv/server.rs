//! The server of one node: keeps a replica, tells the others of writes, compares itself with them.

use std::collections::BTreeMap;

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Next, Protocol, ServerRef, StoreAnswer, StoreQuestion,
};
use partisan_proto::process::ActorContext;
use partisan_proto::wire::read_whole;
use partisan_proto::{Broadcast, Duration, HandlerId, Instance, ProcessId, Signal};
use serde::{Deserialize, Serialize};

use super::object::{Context, Dot, Object};
use super::replica::{Key, Limits, Refusal, Replica, Step};
use super::{handler_name, server_name};
use crate::applications::asked::Asked;

/// How long a write waits for copies.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long another replica may take for a step of a comparison.
const STEP: Duration = Duration::from_secs(10);
/// The most steps of one comparison: far more than it needs.
const MOST_STEPS: u32 = 32;
/// The most writes that wait for copies.
const MOST_WAITING: usize = 1_024;
/// The most objects in one answer to [`KvCall::Contents`].
const PAGE: usize = 256;

/// What the store can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvCall {
    /// What are the values of this key? Answered by [`KvReply::Found`].
    Get(Key),
    /// Write: answered by [`KvReply::Stored`] or [`KvReply::Refused`].
    Put {
        /// To which key.
        key: Key,
        /// What the writer has read of it, as [`KvReply::Found`] told: that is replaced.
        known: Context,
        /// What; `None` deletes.
        value: Option<Vec<u8>>,
        /// How many replicas must say that they have it before it is answered, this one included.
        copies: u8,
    },
    /// Some objects, from the so manieth on: answered by [`KvReply::Contents`].
    Contents(usize),
    /// What is the root of the Merkle tree? Answered by [`KvReply::Root`].
    Root,
    /// A step of a comparison, from another replica: answered by [`KvReply::Step`].
    Step(Step),
    /// About broadcasts: answered by [`KvReply::Store`].
    Store(StoreQuestion),
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvReply {
    /// What is known of the key; [`Object::values`] are its values, none if it was deleted or never
    /// written to, and [`Object::context`] is what a write that replaces them must say.
    Found(Object),
    /// It is written.
    Stored {
        /// As which write.
        dot: Dot,
        /// The replicas that are known to have it, the one that answers first.
        holders: Vec<ProcessId>,
    },
    /// It is not written as it was asked for.
    Refused(Refusal),
    /// Some objects; an empty list is the end.
    Contents(Vec<(Key, Object)>),
    /// Equal for replicas that hold the same.
    Root(u64),
    /// The next step.
    Step(Step),
    /// About broadcasts.
    Store(StoreAnswer),
}

/// What the store is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvCast {
    /// A replica has a write.
    Held {
        /// To which key.
        key: Key,
        /// Which.
        dot: Dot,
        /// Who has it.
        holder: ProcessId,
    },
    /// A write has waited long enough.
    GiveUp {
        /// To which key.
        key: Key,
        /// Which.
        dot: Dot,
    },
}

impl From<StoreQuestion> for KvCall {
    fn from(question: StoreQuestion) -> Self {
        Self::Store(question)
    }
}

impl TryFrom<KvReply> for StoreAnswer {
    type Error = KvReply;

    fn try_from(reply: KvReply) -> Result<Self, KvReply> {
        match reply {
            KvReply::Store(answer) => Ok(answer),
            other => Err(other),
        }
    }
}

/// What the broadcast of a write is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The key that was written to.
    pub key: Key,
    /// As which write.
    pub dot: Dot,
}

/// What the broadcast of a write says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// All that the writer's replica knows of the key.
    pub object: Object,
    /// Who wants to be told by whoever has it.
    pub confirm: Option<ProcessId>,
}

/// A write that waits for copies.
#[derive(Debug)]
struct Waiting {
    caller: Caller<KvReply>,
    copies: usize,
    holders: Vec<ProcessId>,
}

/// The store's server on one node.
#[derive(Debug, Default)]
pub struct Kv {
    replica: Replica,
    waiting: BTreeMap<(Key, Dot), Waiting>,
    /// Comparisons with other replicas: who wants to know when it is over, with whom, and how many
    /// steps it had.
    comparisons: Asked<KvReply, (Caller<KvReply>, ServerRef<Self>, u32)>,
}

impl Kv {
    /// An empty store; it becomes equal to the others by comparing itself with them.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { replica: Replica::new(limits), ..Self::default() }
    }

    fn put(
        &mut self,
        cx: &mut ActorContext<'_>,
        from: Caller<KvReply>,
        (key, known, value, copies): (Key, Context, Option<Vec<u8>>, u8),
    ) -> CallResult<Self> {
        let copies = usize::from(copies);
        if copies > 1 && self.waiting.len() >= MOST_WAITING {
            return CallResult::reply(KvReply::Refused(Refusal::Busy(MOST_WAITING)));
        }
        let dot = match self.replica.write(cx.me(), &key, &known, value) {
            Ok(dot) => dot,
            Err(refusal) => return CallResult::reply(KvReply::Refused(refusal)),
        };
        let confirm = (copies > 1).then(|| cx.me());
        let object = self.replica.get(&key).cloned().unwrap_or_default();
        let update = Update { object, confirm };
        let subject = Subject { key: key.clone(), dot };
        if let (Ok(name), Ok(payload)) =
            (postcard::to_allocvec(&subject), postcard::to_allocvec(&update))
        {
            let (handler, key) = (HandlerId::of(&handler_name()), name.into());
            cx.broadcast(Broadcast { handler, key, payload: payload.into() });
        }
        let holders = vec![cx.me()];
        if copies <= 1 {
            return CallResult::reply(KvReply::Stored { dot, holders });
        }
        let me = ServerRef::<Self>::new(cx.me());
        // Without the timer the caller's own patience ends it.
        _ = me.cast_after(cx, PATIENCE, &KvCast::GiveUp { key: key.clone(), dot });
        self.waiting.insert((key, dot), Waiting { caller: from, copies, holders });
        CallResult::later()
    }

    fn store(
        &mut self,
        cx: &mut ActorContext<'_>,
        from: Caller<KvReply>,
        question: StoreQuestion,
    ) -> CallResult<Self> {
        let knows = |kv: &Self, subject: &Subject| {
            kv.replica
                .get(&subject.key)
                .filter(|object| object.context().covers(&subject.dot))
                .cloned()
        };
        let answer = match question {
            StoreQuestion::Merge { key, payload } => self.merge(cx, &key, &payload),
            StoreQuestion::IsStale { key } => match read_whole(&key) {
                Ok(subject) if knows(self, &subject).is_none() => StoreAnswer::Missing,
                _ => StoreAnswer::Stale,
            },
            StoreQuestion::Fetch { key } => {
                let subject: Option<Subject> = read_whole(&key).ok();
                let object = subject.and_then(|subject| knows(self, &subject));
                let update = object.map(|object| Update { object, confirm: None });
                match update.map(|update| postcard::to_allocvec(&update)) {
                    Some(Ok(payload)) => StoreAnswer::Found(payload),
                    _ => StoreAnswer::Missing,
                }
            }
            StoreQuestion::Exchange { peer } => return self.compare(cx, from, peer),
        };
        CallResult::reply(KvReply::Store(answer))
    }

    /// Another replica has told of a write.
    fn merge(&mut self, cx: &mut ActorContext<'_>, name: &[u8], payload: &[u8]) -> StoreAnswer {
        let subject: Result<Subject, _> = read_whole(name);
        let update: Result<Update, _> = read_whole(payload);
        let (Ok(Subject { key, dot }), Ok(Update { object, confirm })) = (subject, update) else {
            return StoreAnswer::Invalid;
        };
        let news = self.replica.merge(&key, object);
        if let Some(writer) = confirm {
            let held = KvCast::Held { key, dot, holder: cx.me() };
            // The writer waits for it no longer than it wants to.
            _ = ServerRef::<Self>::new(writer).cast(cx, &held);
        }
        if news { StoreAnswer::New } else { StoreAnswer::Stale }
    }

    /// Begins to compare itself with the replica on another node.
    fn compare(
        &mut self,
        cx: &mut ActorContext<'_>,
        caller: Caller<KvReply>,
        peer: Instance,
    ) -> CallResult<Self> {
        let with = ServerRef::named(peer.node, server_name());
        let step = self.replica.begin();
        match self.say(cx, (caller, with, 0), step) {
            Some(answer) => CallResult::reply(answer),
            None => CallResult::later(),
        }
    }

    /// Says a step to another replica, if there is anything to say; the answer, if it is over.
    fn say(
        &mut self,
        cx: &mut ActorContext<'_>,
        (caller, with, steps): (Caller<KvReply>, ServerRef<Self>, u32),
        step: Step,
    ) -> Option<KvReply> {
        if step.is_empty() {
            return Some(KvReply::Store(StoreAnswer::Done));
        }
        match with.call(cx, &KvCall::Step(step), Some(STEP)) {
            Ok(pending) if steps < MOST_STEPS => {
                self.comparisons.push(pending, (caller, with, steps + 1));
                None
            }
            _ => Some(KvReply::Store(StoreAnswer::Failed)),
        }
    }

    /// Another replica has answered, or will not.
    fn answered(&mut self, cx: &mut ActorContext<'_>, signal: &Signal) {
        let Some(((caller, with, steps), answer)) = self.comparisons.take(signal) else {
            return;
        };
        let answer = match answer {
            Ok(KvReply::Step(theirs)) => {
                let step = self.replica.step(theirs);
                self.say(cx, (caller, with, steps), step)
            }
            _ => Some(KvReply::Store(StoreAnswer::Failed)),
        };
        if let Some(answer) = answer {
            caller.reply(cx, &answer);
        }
    }
}

impl Protocol for Kv {
    type Call = KvCall;
    type Reply = KvReply;
    type Cast = KvCast;
}

impl GenServer for Kv {
    type Continue = ();

    fn handle_call(
        &mut self,
        call: KvCall,
        from: Caller<KvReply>,
        cx: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        CallResult::reply(match call {
            KvCall::Get(key) => KvReply::Found(self.replica.get(&key).cloned().unwrap_or_default()),
            KvCall::Put { key, known, value, copies } => {
                return self.put(cx, from, (key, known, value, copies));
            }
            KvCall::Contents(first) => {
                let page = self.replica.iter().skip(first).take(PAGE);
                KvReply::Contents(page.map(|(key, object)| (key.clone(), object.clone())).collect())
            }
            KvCall::Root => KvReply::Root(self.replica.root()),
            KvCall::Step(step) => KvReply::Step(self.replica.step(step)),
            KvCall::Store(question) => return self.store(cx, from, question),
        })
    }

    fn handle_cast(&mut self, cast: KvCast, cx: &mut ActorContext<'_>) -> Next<Self> {
        match cast {
            KvCast::Held { key, dot, holder } => {
                let place = (key, dot);
                if let Some(waiting) = self.waiting.get_mut(&place)
                    && !waiting.holders.contains(&holder)
                {
                    waiting.holders.push(holder);
                    if waiting.holders.len() >= waiting.copies
                        && let Some(Waiting { caller, holders, .. }) = self.waiting.remove(&place)
                    {
                        caller.reply(cx, &KvReply::Stored { dot, holders });
                    }
                }
            }
            KvCast::GiveUp { key, dot } => {
                if let Some(Waiting { caller, holders, .. }) = self.waiting.remove(&(key, dot)) {
                    caller.reply(cx, &KvReply::Refused(Refusal::TooFewCopies { holders }));
                }
            }
        }
        Next::Wait
    }

    fn handle_info(&mut self, info: Info, cx: &mut ActorContext<'_>) -> Next<Self> {
        if let Info::Signal(signal) = info {
            self.answered(cx, &signal);
        }
        Next::Wait
    }
}
