//! One actor by itself, in virtual time: for tests of actors, without a node around them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    Actor, ActorContext, Effect, ExitReason, Input, ProcessAct, ProcessId, ReplyTo, RequestId,
    Serial, Signal, Target,
};
use crate::call::Failure;
use crate::id::{ChannelId, Incarnation, NodeId};
use crate::time::{Duration, Instant};
use crate::wire::{Destination, ProcessAt};

/// One actor by itself: its mailbox, its timers and a clock that a test moves. What it wants done
/// beyond that is kept for the test to look at.
///
/// ```
/// use partisan_proto::process::{Actor, ActorContext, Input, Solo};
///
/// #[derive(Debug)]
/// struct Echo;
///
/// impl Actor for Echo {
///     fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
///         if let Input::Request { reply_to, payload } = input {
///             cx.reply(reply_to, Ok(payload));
///         }
///     }
/// }
///
/// let mut echo = Solo::start(Echo);
/// let request = echo.request("hello");
/// echo.run();
/// assert_eq!(echo.take_reply(request), Some(Ok("hello".into())));
/// ```
#[derive(Debug)]
pub struct Solo<A> {
    actor: A,
    me: ProcessId,
    now: Instant,
    numbers: u64,
    serials: u64,
    requests: u64,
    mailbox: VecDeque<Input>,
    timers: BTreeMap<(Instant, u64), (Target, Bytes)>,
    replies: BTreeMap<ReplyTo, Result<Bytes, Failure>>,
    effects: Vec<Effect>,
    /// Of the present turn; those of one that panicked are done with those of the next.
    left: Vec<Effect>,
    ended: Option<ExitReason>,
}

impl<A: Actor> Solo<A> {
    /// Brings it to life at the origin of time.
    pub fn start(actor: A) -> Self {
        let (node, birth) = (NodeId::from_u64(1), Incarnation(1));
        let mut solo = Self {
            actor,
            me: ProcessId { node, birth, serial: Serial(1) },
            now: Instant::ZERO,
            numbers: 0,
            serials: 1,
            requests: 0,
            mailbox: VecDeque::new(),
            timers: BTreeMap::new(),
            replies: BTreeMap::new(),
            effects: Vec::new(),
            left: Vec::new(),
            ended: None,
        };
        solo.turn(|actor, cx| actor.start(cx));
        solo
    }

    /// The actor.
    pub const fn actor(&self) -> &A {
        &self.actor
    }

    /// What it is called.
    pub const fn me(&self) -> ProcessId {
        self.me
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The process that asks: of the same node, the one that is not this.
    pub const fn other(&self) -> ProcessId {
        ProcessId { serial: Serial(u64::MAX), ..self.me }
    }

    /// Why it ended, if it has.
    pub const fn ended(&self) -> Option<&ExitReason> {
        self.ended.as_ref()
    }

    /// When the first of its timers is due.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(due, _)| *due)
    }

    /// Puts an input into its mailbox.
    pub fn put(&mut self, input: Input) {
        self.mailbox.push_back(input);
    }

    /// Puts a message from its own node into its mailbox.
    pub fn message(&mut self, payload: impl Into<Bytes>) {
        let (from, channel) = (self.me.node, ChannelId::DEFAULT);
        self.put(Input::Message { from, channel, payload: payload.into() });
    }

    /// Puts a request of [`Solo::other`] into its mailbox.
    pub fn request(&mut self, payload: impl Into<Bytes>) -> ReplyTo {
        self.requests += 1;
        let request = RequestId { owner: self.other().serial, number: self.requests };
        let reply_to = ReplyTo { node: self.me.node, birth: self.me.birth, request };
        self.put(Input::Request { reply_to, payload: payload.into() });
        reply_to
    }

    /// Puts a signal into its mailbox.
    pub fn signal(&mut self, signal: Signal) {
        self.put(Input::Signal(signal));
    }

    /// Lets it take one input; `false` when none waits, or it has ended.
    pub fn step(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let Some(input) = self.mailbox.pop_front() else {
            return false;
        };
        self.turn(|actor, cx| actor.handle(cx, input));
        true
    }

    /// Lets it take all that waits, and what is due by now.
    pub fn run(&mut self) {
        self.advance(Duration::ZERO);
    }

    /// Lets time pass: it takes what waits and what becomes due, in order.
    pub fn advance(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            while self.step() {}
            match self.next_timer() {
                Some(due) if due <= until && self.ended.is_none() => self.fire(due),
                _ => break,
            }
        }
        self.now = until;
    }

    /// Tells it that it panicked, as drivers do.
    pub fn panicked(&mut self, text: &str) {
        let reason = ExitReason::panicked(text);
        self.turn(|actor, cx| actor.panicked(cx, reason));
    }

    /// The answer to a request, once; before that [`None`].
    pub fn take_reply(&mut self, request: ReplyTo) -> Option<Result<Bytes, Failure>> {
        self.replies.remove(&request)
    }

    /// What it wanted done beyond timers, answers and messages to itself, since the last time.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    fn fire(&mut self, due: Instant) {
        self.now = self.now.max(due);
        if let Some(((_, number), (target, payload))) = self.timers.pop_first() {
            match target == Target::Process(self.me) {
                true => self.signal(Signal::Timer { number, payload }),
                false => self.effects.push(Effect::Act(ProcessAct::SendAt {
                    number,
                    at: self.now,
                    target,
                    payload,
                })),
            }
        }
    }

    fn turn(&mut self, run: impl FnOnce(&mut A, &mut ActorContext<'_>)) {
        let mut serials = || {
            self.serials += 1;
            Serial(self.serials)
        };
        let numbers = &mut self.numbers;
        let left = &mut self.left;
        let mut cx = ActorContext::new(self.now, self.me, numbers, &mut serials, left);
        run(&mut self.actor, &mut cx);
        for effect in core::mem::take(&mut self.left) {
            if self.ended.is_none() {
                self.perform(effect);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        if let Effect::Act(act) = &effect
            && let Some(number) = act.revokes()
        {
            self.mailbox.retain(|input| !input.is_about(number));
        }
        match effect {
            Effect::Act(ProcessAct::SendAfter { number, after, target, payload }) => {
                self.timers.insert((self.now + after, number), (target, payload));
            }
            Effect::Act(ProcessAct::SendAt { number, at, target, payload }) => {
                self.timers.insert((at.max(self.now), number), (target, payload));
            }
            Effect::Act(ProcessAct::CancelTimer { number: cancelled }) => {
                self.timers.retain(|(_, number), _| *number != cancelled);
            }
            Effect::Act(ProcessAct::Reply { reply_to, result }) => {
                self.replies.entry(reply_to).or_insert(result);
            }
            Effect::Send(send) if send.destination == self.here() && send.to == self.me.node => {
                let (from, channel, payload) = (self.me.node, send.channel, send.payload);
                self.put(Input::Message { from, channel, payload });
            }
            Effect::End(reason) => self.ended = Some(reason),
            other => self.effects.push(other),
        }
    }

    fn here(&self) -> Destination {
        Destination::Process(ProcessAt { birth: self.me.birth, serial: self.me.serial })
    }
}
