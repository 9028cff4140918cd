//! The silo of one node: knows which slots it may serve, and has their virtual actors active.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use partisan_proto::behaviour::{
    CallResult, Caller, GenServer, Info, Init, Next, Protocol, ServerRef,
};
use partisan_proto::process::{ActorContext, NodeFilter};
use partisan_proto::{Duration, ExitReason, Instant, NodeId, ProcessId, Signal};
use serde::{Deserialize, Serialize};

use super::activation::{Activation, Grain, Task};
use super::server_name;
use super::votes::{Denied, SLOTS, Slot, Votes};
use crate::applications::asked::Asked;
use crate::applications::kv::tree::hash;
use crate::draw::mix;

/// How often a request is passed on at the most.
const MOST_HOPS: u8 = 4;
/// The most requests that wait for one slot or one activation.
const MOST_WAITING: usize = 1_024;
/// The most activations on one node.
const MOST_ACTIVE: usize = 65_536;

/// How a directory works. All nodes must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiloOptions {
    /// The nodes whose votes count: more than half of them must agree on who serves a slot. They
    /// do not change.
    pub voters: Vec<NodeId>,
    /// How long a vote holds. So long an identifier cannot be reached after its node has died.
    pub lease: Duration,
    /// An activation that is asked nothing for so long ends.
    pub idle: Duration,
}

/// What a silo can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiloCall {
    /// Ask a virtual actor something, wherever it is or will be active: answered by
    /// [`SiloReply::Answer`] or [`SiloReply::Unavailable`].
    Ask(String, Vec<u8>),
    /// Another silo wants to serve a slot, in its so manieth attempt: answered by
    /// [`SiloReply::Granted`] or [`SiloReply::Denied`].
    Vote(Slot, (ProcessId, u64)),
    /// How many virtual actors are active here? Answered by [`SiloReply::Active`].
    Active,
}

/// What a silo answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiloReply {
    /// The virtual actor's answer.
    Answer {
        /// The process that it is.
        activation: ProcessId,
        /// What it says.
        answer: Vec<u8>,
    },
    /// It was not asked: nobody may serve it now, or too many wait for it. Try again later.
    Unavailable,
    /// The vote is given.
    Granted,
    /// It is not; who has it, if anybody.
    Denied(Option<ProcessId>),
    /// So many.
    Active(u64),
}

/// What silos tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiloCast {
    /// This is for you.
    Pass(Job),
    /// Another silo had too few votes for a slot in that attempt: yours is free.
    GiveBack(Slot, (ProcessId, u64)),
    /// Time has passed.
    Tick,
}

/// A request on its way to its virtual actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    id: String,
    request: Vec<u8>,
    caller: Caller<SiloReply>,
    hops: u8,
}

/// A virtual actor that is active here.
#[derive(Debug)]
struct Active {
    process: ProcessId,
    monitor: u64,
    used: Instant,
    /// Whether its end is awaited, and what waits for the next one.
    ending: bool,
    waiting: Vec<Job>,
}

/// An attempt to be allowed to serve a slot, or to go on.
#[derive(Debug)]
struct Attempt {
    number: u64,
    /// When it was begun: what it brings counts from then, since votes are given later.
    asked: Instant,
    /// How many voters have not answered.
    open: usize,
    granted: usize,
    held_by: Option<ProcessId>,
    waiting: Vec<Job>,
}

/// The silo of one node.
#[derive(Debug)]
pub struct Silo<G> {
    options: SiloOptions,
    votes: Option<Votes>,
    connected: BTreeSet<NodeId>,
    /// Until when it may serve which slots.
    held: BTreeMap<Slot, Instant>,
    attempts: BTreeMap<Slot, Attempt>,
    last_attempt: u64,
    /// The voters that have not answered, with the slot that they were asked for.
    asked: Asked<SiloReply, Slot>,
    active: BTreeMap<String, Active>,
    grain: PhantomData<fn() -> G>,
}

/// The slot of an identifier.
fn slot_of(id: &str) -> Slot {
    (hash(&[id.as_bytes()]) % u64::from(SLOTS)) as Slot
}

impl<G: Grain> Silo<G> {
    /// A silo that serves nothing yet.
    #[must_use]
    pub fn new(options: SiloOptions) -> Self {
        Self {
            options,
            votes: None,
            connected: BTreeSet::new(),
            held: BTreeMap::new(),
            attempts: BTreeMap::new(),
            last_attempt: 0,
            asked: Asked::default(),
            active: BTreeMap::new(),
            grain: PhantomData,
        }
    }

    fn may_serve(&self, slot: Slot, now: Instant) -> bool {
        self.held.get(&slot).is_some_and(|until| now < *until)
    }

    /// Takes a request: to its activation, or to another silo, or into an attempt to serve it.
    fn take(&mut self, cx: &mut ActorContext<'_>, job: Job) {
        let (slot, me) = (slot_of(&job.id), cx.me().node);
        if self.may_serve(slot, cx.now()) {
            return self.hand_over(cx, slot, job);
        }
        let liking = |node: &NodeId| mix(node.as_u64() ^ mix(u64::from(slot)));
        let home = self.connected.iter().copied().chain([me]).max_by_key(liking).unwrap_or(me);
        match self.attempts.get_mut(&slot) {
            Some(attempt) if attempt.waiting.len() < MOST_WAITING => attempt.waiting.push(job),
            Some(_) => job.caller.reply(cx, &SiloReply::Unavailable),
            None if home == me || job.hops > 0 => self.attempt(cx, slot, vec![job]),
            None => pass(cx, home, job),
        }
    }

    /// Hands a request to the activation, which becomes one if there is none.
    fn hand_over(&mut self, cx: &mut ActorContext<'_>, slot: Slot, job: Job) {
        if !self.active.contains_key(&job.id) {
            if self.active.len() >= MOST_ACTIVE {
                return job.caller.reply(cx, &SiloReply::Unavailable);
            }
            let (process, monitor) = cx.spawn_monitor(Box::new(Activation(G::activate(&job.id))));
            let (used, waiting) = (cx.now(), Vec::new());
            let active = Active { process, monitor, used, ending: false, waiting };
            self.active.insert(job.id.clone(), active);
        }
        let until = self.held.get(&slot).map_or(0, |until| until.as_nanos());
        let Some(active) = self.active.get_mut(&job.id) else {
            return;
        };
        active.used = cx.now();
        match active.ending {
            true if active.waiting.len() < MOST_WAITING => active.waiting.push(job),
            true => job.caller.reply(cx, &SiloReply::Unavailable),
            false => {
                let Job { id, request, caller, .. } = job;
                let task = Task { id, request, caller, until };
                cx.send(&active.process.into(), task.write());
            }
        }
    }

    /// Asks all voters for a slot.
    fn attempt(&mut self, cx: &mut ActorContext<'_>, slot: Slot, waiting: Vec<Job>) {
        let (asked, me) = (cx.now(), cx.me());
        self.last_attempt += 1;
        let number = self.last_attempt;
        let (mut granted, mut held_by, mut open) = (0, None, 0);
        for voter in self.options.voters.clone() {
            if voter == me.node {
                match self.vote(asked, slot, (me, number)) {
                    SiloReply::Granted => granted += 1,
                    SiloReply::Denied(other) => held_by = other,
                    _ => {}
                }
                continue;
            }
            let silo = ServerRef::<Self>::named(voter, server_name());
            let vote = SiloCall::Vote(slot, (me, number));
            if let Ok(pending) = silo.call(cx, &vote, Some(self.options.lease / 2)) {
                self.asked.push(pending, slot);
                open += 1;
            }
        }
        self.attempts.insert(slot, Attempt { number, asked, open, granted, held_by, waiting });
        self.conclude(cx, slot);
    }

    fn vote(&mut self, now: Instant, slot: Slot, holder: (ProcessId, u64)) -> SiloReply {
        match self.votes.as_mut().map(|votes| votes.ask(now, slot, holder)) {
            Some(Ok(())) => SiloReply::Granted,
            Some(Err(Denied::Held(other))) => SiloReply::Denied(Some(other)),
            Some(Err(Denied::Young)) | None => SiloReply::Denied(None),
        }
    }

    /// A voter has answered, or will not.
    fn answered(&mut self, cx: &mut ActorContext<'_>, signal: &Signal) {
        let Some((slot, answer)) = self.asked.take(signal) else {
            return;
        };
        if let Some(attempt) = self.attempts.get_mut(&slot) {
            attempt.open -= 1;
            match answer {
                Ok(SiloReply::Granted) => attempt.granted += 1,
                Ok(SiloReply::Denied(Some(other))) => attempt.held_by = Some(other),
                _ => {}
            }
        }
        self.conclude(cx, slot);
    }

    /// Ends an attempt whose outcome is known.
    fn conclude(&mut self, cx: &mut ActorContext<'_>, slot: Slot) {
        let needed = self.options.voters.len() / 2 + 1;
        let Some(attempt) = self.attempts.get(&slot) else {
            return;
        };
        let won = attempt.granted >= needed;
        if !won && attempt.granted + attempt.open >= needed {
            return;
        }
        let Some(Attempt { number, asked, held_by, waiting, .. }) = self.attempts.remove(&slot)
        else {
            return;
        };
        self.asked.retain(cx, |other| *other != slot);
        if won {
            self.held.insert(slot, asked + self.options.lease);
        } else if !self.may_serve(slot, cx.now()) {
            self.give_back(cx, slot, number);
        }
        for job in waiting {
            match held_by {
                _ if self.may_serve(slot, cx.now()) => self.hand_over(cx, slot, job),
                Some(other) if other.node != cx.me().node && job.hops < MOST_HOPS => {
                    pass(cx, other.node, job);
                }
                _ => job.caller.reply(cx, &SiloReply::Unavailable),
            }
        }
    }

    /// Frees the votes of an attempt that brought too few. Else two silos, each with the votes of
    /// half of the voters, would keep them from each other for as long as both are asked.
    fn give_back(&mut self, cx: &mut ActorContext<'_>, slot: Slot, attempt: u64) {
        let mine = (cx.me(), attempt);
        for voter in &self.options.voters {
            if *voter == mine.0.node {
                self.votes.iter_mut().for_each(|votes| votes.give_back(slot, mine));
                continue;
            }
            // Where it does not arrive, the vote is over with its lease.
            let silo = ServerRef::<Self>::named(*voter, server_name());
            _ = silo.cast(cx, &SiloCast::GiveBack(slot, mine));
        }
    }

    /// Ends what may not be served any more and what nobody uses; renews the rest.
    fn tick(&mut self, cx: &mut ActorContext<'_>) {
        let now = cx.now();
        self.held.retain(|_, until| now < *until);
        let mut used = BTreeSet::new();
        for (id, active) in &mut self.active {
            let slot = slot_of(id);
            let idle = now >= active.used + self.options.idle;
            if !active.ending && (idle || !self.held.contains_key(&slot)) {
                active.ending = true;
                cx.exit(active.process, ExitReason::Shutdown);
            }
            if !active.ending {
                used.insert(slot);
            }
        }
        for slot in used {
            if !self.attempts.contains_key(&slot) {
                self.attempt(cx, slot, Vec::new());
            }
        }
    }

    /// An activation has ended; what waited for the next one goes on.
    fn ended(&mut self, cx: &mut ActorContext<'_>, monitor: u64) {
        let ended = self.active.iter().find(|(_, active)| active.monitor == monitor);
        if let Some(id) = ended.map(|(id, _)| id.clone())
            && let Some(active) = self.active.remove(&id)
        {
            active.waiting.into_iter().for_each(|job| self.take(cx, job));
        }
    }
}

/// Gives a request to the silo of another node.
fn pass(cx: &mut ActorContext<'_>, node: NodeId, job: Job) {
    let job = Job { hops: job.hops + 1, ..job };
    // Whoever asked waits no longer than it wants to.
    _ = ServerRef::<Passing>::named(node, server_name()).cast(cx, &SiloCast::Pass(job));
}

/// The protocol of silos, whatever their actors do.
#[derive(Debug)]
struct Passing;

impl Protocol for Passing {
    type Call = SiloCall;
    type Reply = SiloReply;
    type Cast = SiloCast;
}

impl<G: Grain> Protocol for Silo<G> {
    type Call = SiloCall;
    type Reply = SiloReply;
    type Cast = SiloCast;
}

impl<G: Grain> GenServer for Silo<G> {
    type Continue = ();

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Init<Self> {
        self.votes = Some(Votes::new(self.options.lease, cx.now()));
        cx.monitor_nodes(NodeFilter { tag: None, present: true });
        Init::Run(self.handle_cast(SiloCast::Tick, cx))
    }

    fn handle_call(
        &mut self,
        call: SiloCall,
        caller: Caller<SiloReply>,
        cx: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        match call {
            SiloCall::Ask(id, request) => {
                self.take(cx, Job { id, request, caller, hops: 0 });
                CallResult::later()
            }
            SiloCall::Vote(slot, holder) => CallResult::reply(self.vote(cx.now(), slot, holder)),
            SiloCall::Active => CallResult::reply(SiloReply::Active(self.active.len() as u64)),
        }
    }

    fn handle_cast(&mut self, cast: SiloCast, cx: &mut ActorContext<'_>) -> Next<Self> {
        match cast {
            SiloCast::Pass(job) => self.take(cx, job),
            SiloCast::GiveBack(slot, holder) => {
                self.votes.iter_mut().for_each(|votes| votes.give_back(slot, holder));
            }
            SiloCast::Tick => {
                self.tick(cx);
                // It always serialises.
                let me = ServerRef::<Self>::new(cx.me());
                _ = me.cast_after(cx, self.options.lease / 4, &SiloCast::Tick);
            }
        }
        Next::Wait
    }

    fn handle_info(&mut self, info: Info, cx: &mut ActorContext<'_>) -> Next<Self> {
        match info {
            Info::Signal(Signal::NodeUp { instance, .. }) => {
                self.connected.insert(instance.node);
            }
            Info::Signal(Signal::NodeDown { instance, .. }) => {
                self.connected.remove(&instance.node);
            }
            Info::Signal(Signal::Down { number, .. }) => self.ended(cx, number),
            Info::Signal(signal @ Signal::Answer { .. }) => self.answered(cx, &signal),
            _ => {}
        }
        Next::Wait
    }
}
