//! The engine of state machines.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;

use bytes::Bytes;

use super::timeouts::Timeouts;
use super::{Action, Entry, Event, First, GenStatem, Initial, Outcome, Timeout, To, Transition};
use crate::behaviour::{Beginning, Caller, Engine, Flow, Info, Started, envelope};
use crate::process::{ActorContext, ExitReason, ReplyTo, Signal};

/// How many events a state machine puts off, unless
/// [`StatemProcess::max_postponed`](super::StatemProcess::max_postponed) says otherwise.
pub const DEFAULT_POSTPONED: usize = 10_000;

/// The engine of state machines: the queue, what is put off, and the timeouts.
pub struct StatemEngine<M: GenStatem> {
    machine: M,
    /// `None` before it has begun.
    state: Option<M::State>,
    /// How it begins, where `init` is not to say so.
    given: Option<Initial<M>>,
    /// What is to be done once it has begun.
    first: Vec<Action<M>>,
    queue: VecDeque<Event<M>>,
    /// Oldest first.
    postponed: VecDeque<Event<M>>,
    pub(super) max_postponed: usize,
    timeouts: Timeouts<M::Timer, M::Content>,
}

/// What follows from the actions of one event, once all of them are known.
struct Plan<M: GenStatem> {
    postpone: bool,
    inserted: Vec<Event<M>>,
    /// At most one for each kind: the last, in the order of the last.
    timeouts: Vec<Action<M>>,
}

impl<M: GenStatem> StatemEngine<M> {
    pub(super) const fn new(machine: M, given: Option<Initial<M>>) -> Self {
        Self {
            machine,
            state: None,
            given,
            first: Vec::new(),
            queue: VecDeque::new(),
            postponed: VecDeque::new(),
            max_postponed: DEFAULT_POSTPONED,
            timeouts: Timeouts::new(),
        }
    }

    /// The machine's data.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Its state, once it has begun.
    pub const fn current(&self) -> Option<&M::State> {
        self.state.as_ref()
    }

    /// Handles an event, and all that comes before the mailbox then.
    fn run(&mut self, cx: &mut ActorContext<'_>, event: Event<M>) -> Flow {
        self.handle(cx, event)?;
        self.drain(cx)
    }

    fn drain(&mut self, cx: &mut ActorContext<'_>) -> Flow {
        loop {
            let event = match self.queue.pop_front() {
                Some(event) => event,
                None => match self.timeouts.next_zero() {
                    Some((timeout, content)) => Event::Timeout(timeout, content),
                    None => return ControlFlow::Continue(()),
                },
            };
            self.handle(cx, event)?;
        }
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, event: Event<M>) -> Flow {
        let Some(state) = &self.state else {
            return ControlFlow::Continue(());
        };
        self.timeouts.cancel(cx, &Timeout::Event);
        let Transition { to, actions } = self.machine.handle_event(state, &event, cx);
        let mut plan = Plan::new();
        plan.add(cx, actions);
        let (next, enter) = match to {
            To::Next(next) => {
                let changed = next != *state;
                (Some(next), changed)
            }
            To::Keep => (None, false),
            To::Repeat => (None, true),
            To::Stop(reason) => return ControlFlow::Break(reason),
        };
        let changed = enter && next.is_some();
        self.go_to(cx, next, enter, &mut plan)?;
        self.follow(cx, Some(event), changed, plan)
    }

    /// Enters a state, where states are entered, and is in it from then on.
    fn go_to(
        &mut self,
        cx: &mut ActorContext<'_>,
        next: Option<M::State>,
        enter: bool,
        plan: &mut Plan<M>,
    ) -> Flow {
        let mut entry = if enter && M::STATE_ENTER { Entry::Repeat } else { Entry::Keep };
        while let (Entry::Repeat, Some(old)) = (&entry, &self.state) {
            let entered = self.machine.enter(old, next.as_ref().unwrap_or(old), cx);
            entry = entered.to;
            plan.add(cx, entered.actions);
        }
        if next.is_some() {
            self.state = next;
        }
        match entry {
            Entry::Stop(reason) => ControlFlow::Break(reason),
            Entry::Keep | Entry::Repeat => ControlFlow::Continue(()),
        }
    }

    /// Does what was planned, once the state is what it will be.
    fn follow(
        &mut self,
        cx: &mut ActorContext<'_>,
        event: Option<Event<M>>,
        changed: bool,
        plan: Plan<M>,
    ) -> Flow {
        if let Some(event) = event.filter(|_| plan.postpone) {
            self.postponed.push_back(event);
        }
        if changed {
            self.timeouts.cancel(cx, &Timeout::State);
            // Oldest first, before what is queued.
            self.postponed.append(&mut self.queue);
            core::mem::swap(&mut self.postponed, &mut self.queue);
        }
        for event in plan.inserted.into_iter().rev() {
            self.queue.push_front(event);
        }
        for action in plan.timeouts {
            match action {
                Action::Start(timeout, when, content) => {
                    self.timeouts.start(cx, timeout, when, content);
                }
                Action::Update(timeout, content) => self.timeouts.update(cx, timeout, content),
                Action::Cancel(timeout) => self.timeouts.cancel(cx, &timeout),
                Action::Reply(..) | Action::Postpone(_) | Action::NextEvent(_) => {}
            }
        }
        if self.postponed.len() > self.max_postponed {
            return ControlFlow::Break(ExitReason::SystemLimit);
        }
        ControlFlow::Continue(())
    }
}

impl<M: GenStatem> Plan<M> {
    const fn new() -> Self {
        Self { postpone: false, inserted: Vec::new(), timeouts: Vec::new() }
    }

    /// Takes actions in their order; answers are sent at once.
    fn add(&mut self, cx: &mut ActorContext<'_>, actions: Vec<Action<M>>) {
        for action in actions {
            match action {
                Action::Reply(caller, reply) => caller.reply(cx, &reply),
                Action::Postpone(postpone) => self.postpone = postpone,
                Action::NextEvent(event) => self.inserted.push(event),
                action => {
                    self.timeouts.retain(|earlier| earlier.timeout() != action.timeout());
                    self.timeouts.push(action);
                }
            }
        }
    }
}

impl<M: GenStatem> Action<M> {
    const fn timeout(&self) -> Option<&Timeout<M::Timer>> {
        match self {
            Self::Start(timeout, ..) | Self::Update(timeout, _) | Self::Cancel(timeout) => {
                Some(timeout)
            }
            Self::Reply(..) | Self::Postpone(_) | Self::NextEvent(_) => None,
        }
    }
}

impl<M: GenStatem> Engine for StatemEngine<M> {
    type Protocol = M;

    const KIND: &'static str = "gen_statem";

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Beginning {
        let given = self.given.take();
        let Outcome { to, actions } = given.unwrap_or_else(|| self.machine.init(cx));
        match to {
            First::State(state) => {
                (self.state, self.first) = (Some(state), actions);
                ControlFlow::Continue(Some(Started::Running))
            }
            First::Ignore => ControlFlow::Continue(Some(Started::Ignored)),
            First::Stop(reason) => ControlFlow::Break(reason),
        }
    }

    fn begin(&mut self, cx: &mut ActorContext<'_>) -> Flow {
        let mut plan = Plan::new();
        plan.add(cx, core::mem::take(&mut self.first));
        self.go_to(cx, None, true, &mut plan)?;
        self.follow(cx, None, false, plan)?;
        self.drain(cx)
    }

    fn call(
        &mut self,
        cx: &mut ActorContext<'_>,
        reply_to: ReplyTo,
        call: &[u8],
    ) -> Result<Flow, postcard::Error> {
        let call = envelope::read(call)?;
        Ok(self.run(cx, Event::Call(Caller::new(reply_to), call)))
    }

    fn cast(&mut self, cx: &mut ActorContext<'_>, cast: &[u8]) -> Result<Flow, postcard::Error> {
        let cast = envelope::read(cast)?;
        Ok(self.run(cx, Event::Cast(cast)))
    }

    fn info(&mut self, cx: &mut ActorContext<'_>, info: Info) -> Flow {
        match &info {
            Info::Signal(Signal::Timer { number, payload }) if envelope::is_timer(payload) => {
                match self.timeouts.due(*number) {
                    Some((timeout, content)) => self.run(cx, Event::Timeout(timeout, content)),
                    None => ControlFlow::Continue(()),
                }
            }
            _ => self.run(cx, Event::Info(info)),
        }
    }

    fn terminate(&mut self, cx: &mut ActorContext<'_>, reason: &ExitReason) {
        self.timeouts.cancel_all(cx);
        if let Some(state) = &self.state {
            self.machine.terminate(state, reason, cx);
        }
    }

    fn describe(&self, call: bool, payload: &[u8]) -> Option<String> {
        Some(match call {
            true => format!("{:?}", envelope::read::<M::Call>(payload).ok()?),
            false => format!("{:?}", envelope::read::<M::Cast>(payload).ok()?),
        })
    }

    fn state(&self) -> Option<Bytes> {
        self.machine.state(self.state.as_ref()?)
    }

    fn replace_state(&mut self, state: &[u8]) -> bool {
        let state = self.machine.replace_state(state);
        let replaced = state.is_some();
        self.state = state.or_else(|| self.state.take());
        replaced
    }
}

impl<M: GenStatem> fmt::Debug for StatemEngine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StatemEngine");
        debug.field("state", &self.state).field("machine", &self.machine);
        debug.field("queue", &self.queue).field("postponed", &self.postponed);
        debug.field("timeouts", &self.timeouts).finish()
    }
}
