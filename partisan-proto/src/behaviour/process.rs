//! The process around every behaviour: how it begins and ends, and what it answers whatever it does.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::ControlFlow;

use bytes::Bytes;
use serde::Serialize;

use super::envelope::{self, Asked};
use super::protocol::Protocol;
use super::report::{Report, cut, shown};
use super::system::{Started, StateBytes, Statistics, Status, SystemRequest, TraceEvent};
use crate::call::Failure;
use crate::id::{ChannelId, NodeId};
use crate::process::{
    Actor, ActorContext, ExitReason, Input, ProcessId, ReplyTo, Serial, Signal, Target,
};
use crate::time::Instant;

/// How many messages and requests wait while a behaviour is suspended or has not begun, unless
/// [`Behaviour::max_held`] says otherwise.
pub const DEFAULT_HELD: usize = 1_024;

/// Whether a behaviour goes on, or ends for this reason.
pub type Flow = ControlFlow<ExitReason>;

/// What came of a beginning, as soon as that is known; or why it failed.
pub type Beginning = ControlFlow<ExitReason, Option<Started>>;

/// What is neither a call nor a cast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Info {
    /// A plain message, such as [`ActorContext::send`] and broadcasts bring, or a cast of another
    /// type than the server takes.
    Message {
        /// The node that it came from.
        from: NodeId,
        /// The channel that it came by.
        channel: ChannelId,
        /// What it says.
        payload: Bytes,
    },
    /// What it asked to be told: of monitors, links, timers, nodes, and of its own calls.
    Signal(Signal),
}

/// What a behaviour does; [`Behaviour`] makes it a process. The four of OTP are engines; users write
/// what those ask for (such as [`GenServer`](super::GenServer)), seldom an engine of their own.
pub trait Engine: fmt::Debug + Send {
    /// What it is told and what it answers.
    type Protocol: Protocol;

    /// What it is, for reports: as OTP calls it.
    const KIND: &'static str = "behaviour";

    /// Runs first; what `Start` is answered follows from it. `None`: it is not known yet, and then
    /// [`Engine::beginning`] is asked with each signal until it is.
    fn init(&mut self, cx: &mut ActorContext<'_>) -> Beginning;

    /// A signal came before it has begun.
    fn beginning(&mut self, cx: &mut ActorContext<'_>, signal: Signal) -> Beginning {
        _ = (cx, signal);
        ControlFlow::Continue(None)
    }

    /// It has begun, and whoever started it knows. Before anything else is handled.
    fn begin(&mut self, cx: &mut ActorContext<'_>) -> Flow {
        _ = cx;
        ControlFlow::Continue(())
    }

    /// Handles a call; `Err` when it is not understood.
    fn call(
        &mut self,
        cx: &mut ActorContext<'_>,
        reply_to: ReplyTo,
        call: &[u8],
    ) -> Result<Flow, postcard::Error>;

    /// Handles a cast; `Err` when it is not understood, and then it comes again as an info.
    fn cast(&mut self, cx: &mut ActorContext<'_>, cast: &[u8]) -> Result<Flow, postcard::Error>;

    /// Handles anything else.
    fn info(&mut self, cx: &mut ActorContext<'_>, info: Info) -> Flow;

    /// A system request was answered; `suspended` after it or not.
    fn system(&mut self, cx: &mut ActorContext<'_>, suspended: bool) {
        _ = (cx, suspended);
    }

    /// One of the above panicked: what it did until then is done.
    fn panicked(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) -> Flow {
        _ = cx;
        ControlFlow::Break(reason)
    }

    /// Somebody above wants it to end. By default it does at once; it may go on, and break off later
    /// for that reason.
    fn stop(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) -> Flow {
        _ = cx;
        ControlFlow::Break(reason)
    }

    /// It is about to end.
    fn terminate(&mut self, cx: &mut ActorContext<'_>, reason: &ExitReason);

    /// The last that it does, even where [`Engine::terminate`] panicked.
    fn last_words(&mut self, cx: &mut ActorContext<'_>) {
        _ = cx;
    }

    /// A call or a cast as text, for a tracer; `None` where it is not understood.
    fn describe(&self, call: bool, payload: &[u8]) -> Option<String>;

    /// Its state, where it tells it.
    fn state(&self) -> Option<Bytes>;

    /// Takes a state; whether it did.
    fn replace_state(&mut self, state: &[u8]) -> bool;
}

/// A behaviour as a process: an [`Actor`], so that it runs on tokio and in the simulator.
///
/// It answers system requests, waits while it is suspended, ends with its parent (or its node) where
/// it traps exits, and lets the engine say its last words whatever happens.
#[derive(Debug)]
pub struct Behaviour<E> {
    engine: E,
    phase: Phase,
    parent: Option<ProcessId>,
    /// For whom its parent started it.
    owner: Option<ProcessId>,
    /// Who waits for it to begin.
    starter: Option<ReplyTo>,
    held: VecDeque<Input>,
    max_held: usize,
    /// What is being handled, or was when it ended.
    handling: Option<Input>,
    /// Whether its end is reported, or was to be.
    reported: bool,
    tracer: Option<ProcessId>,
    since: Instant,
    statistics: Statistics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for `Start`.
    Waiting,
    /// `init` runs, or waits for something.
    Beginning,
    Running,
    Suspended,
    /// `terminate` runs.
    Ending,
}

impl<E: Engine> Behaviour<E> {
    /// Begins as soon as it comes to life; nobody learns what came of `init`, but by monitors.
    pub(super) fn of(engine: E) -> Self {
        Self {
            engine,
            phase: Phase::Running,
            parent: None,
            owner: None,
            starter: None,
            held: VecDeque::new(),
            max_held: DEFAULT_HELD,
            handling: None,
            reported: false,
            tracer: None,
            since: Instant::ZERO,
            statistics: Statistics::default(),
        }
    }

    /// Begins when it is asked to ([`SystemRequest::Start`]), so that whoever starts it learns what
    /// came of `init`. What comes before that waits.
    #[must_use]
    pub fn awaiting_start(mut self) -> Self {
        self.phase = Phase::Waiting;
        self
    }

    /// Lets so many messages and requests wait while it is suspended or has not begun. One more
    /// message is dropped and counted ([`Statistics::dropped`]), one more request answered
    /// [`Failure::Overloaded`]; signals always wait.
    #[must_use]
    pub const fn max_held(mut self, inputs: usize) -> Self {
        self.max_held = inputs;
        self
    }

    /// What it does.
    #[must_use]
    pub const fn engine(&self) -> &E {
        &self.engine
    }

    pub(super) const fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    fn begin(&mut self, cx: &mut ActorContext<'_>, starter: Option<ReplyTo>) {
        (self.phase, self.since) = (Phase::Beginning, cx.now());
        (self.starter, self.parent) = (starter, starter.map(|starter| starter.caller()));
        let beginning = self.engine.init(cx);
        self.begun(cx, beginning);
    }

    fn begun(&mut self, cx: &mut ActorContext<'_>, beginning: Beginning) {
        let started = match beginning {
            ControlFlow::Continue(Some(started)) => started,
            ControlFlow::Continue(None) => return,
            // Whoever asked learns the reason by the end itself.
            ControlFlow::Break(reason) => {
                self.report_end(cx, &reason);
                return cx.end(reason);
            }
        };
        if let Some(starter) = self.starter.take() {
            answer(cx, starter, &started);
        }
        if started == Started::Ignored {
            return cx.end(ExitReason::Normal);
        }
        self.phase = Phase::Running;
        let flow = self.engine.begin(cx);
        self.follow(cx, flow);
        self.take_held(cx);
    }

    fn follow(&mut self, cx: &mut ActorContext<'_>, flow: Flow) {
        if let ControlFlow::Break(reason) = flow {
            self.end(cx, reason);
        }
    }

    /// Somebody above wants it to end.
    fn stop(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) {
        if self.phase == Phase::Waiting {
            return cx.end(reason);
        }
        if self.phase == Phase::Suspended {
            self.phase = Phase::Running;
        }
        let flow = self.engine.stop(cx, reason);
        self.follow(cx, flow);
    }

    fn end(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) {
        self.phase = Phase::Ending;
        self.engine.terminate(cx, &reason);
        self.engine.last_words(cx);
        self.report_end(cx, &reason);
        cx.end(reason);
    }

    /// Tells of an end that is not in good order, once.
    fn report_end(&mut self, cx: &mut ActorContext<'_>, reason: &ExitReason) {
        if reason.is_orderly() || core::mem::replace(&mut self.reported, true) {
            return;
        }
        let handling = self.handling.take().map(|input| self.described(&input));
        cx.report(Report::Terminating {
            behaviour: E::KIND,
            reason: reason.clone(),
            handling,
            state: shown(&self.engine),
        });
    }

    /// What an input is, for people.
    fn described(&self, input: &Input) -> String {
        let typed = match input {
            Input::Request { payload, .. } => match envelope::asked(payload) {
                Asked::Call(call) => self.engine.describe(true, call),
                Asked::System(_) | Asked::Unknown => None,
            },
            Input::Message { payload, .. } => {
                envelope::as_cast(payload).and_then(|cast| self.engine.describe(false, cast))
            }
            Input::Signal(_) => None,
        };
        typed.map_or_else(|| shown(input), |text| cut(&text))
    }

    fn take_held(&mut self, cx: &mut ActorContext<'_>) {
        while self.phase == Phase::Running
            && let Some(input) = self.held.pop_front()
        {
            if !matches!(input, Input::Signal(_)) {
                self.statistics.held -= 1;
            }
            let mark = cx.mark();
            self.take(cx, input);
            for number in cx.revoked(mark) {
                self.held.retain(|input| !input.is_about(number));
            }
        }
    }

    fn hold(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        let full = self.statistics.held >= self.max_held as u64;
        match &input {
            Input::Request { reply_to, .. } if full => {
                return cx.reply(*reply_to, Err(Failure::Overloaded));
            }
            Input::Message { .. } if full => return self.statistics.dropped += 1,
            Input::Message { .. } | Input::Request { .. } => self.statistics.held += 1,
            Input::Signal(_) => {}
        }
        self.held.push_back(input);
    }

    /// Hands the engine what is for it.
    fn take(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        self.handling = Some(input.clone());
        self.hand(cx, input);
        self.handling = None;
    }

    fn hand(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        match input {
            Input::Request { reply_to, payload } => self.asked(cx, reply_to, &payload),
            Input::Message { from, channel, payload } => {
                if !self.told(cx, &payload) {
                    self.informed(cx, Info::Message { from, channel, payload });
                }
            }
            Input::Signal(Signal::Timer { number, payload }) => {
                if !self.told(cx, &payload) {
                    self.informed(cx, Info::Signal(Signal::Timer { number, payload }));
                }
            }
            Input::Signal(signal) => self.informed(cx, Info::Signal(signal)),
        }
    }

    fn asked(&mut self, cx: &mut ActorContext<'_>, reply_to: ReplyTo, payload: &[u8]) {
        let Asked::Call(call) = envelope::asked(payload) else {
            return self.refuse(cx, reply_to);
        };
        self.trace_typed(cx, true, call);
        self.statistics.calls += 1;
        match self.engine.call(cx, reply_to, call) {
            Ok(flow) => self.follow(cx, flow),
            Err(_) => {
                self.statistics.calls -= 1;
                self.refuse(cx, reply_to);
            }
        }
    }

    fn refuse(&mut self, cx: &mut ActorContext<'_>, reply_to: ReplyTo) {
        self.statistics.not_understood += 1;
        cx.reply(reply_to, Err(Failure::NotUnderstood));
    }

    /// Handles a cast; says whether it was one.
    fn told(&mut self, cx: &mut ActorContext<'_>, payload: &[u8]) -> bool {
        let Some(cast) = envelope::as_cast(payload) else {
            return false;
        };
        self.trace_typed(cx, false, cast);
        self.statistics.casts += 1;
        match self.engine.cast(cx, cast) {
            Ok(flow) => self.follow(cx, flow),
            Err(_) => {
                self.statistics.casts -= 1;
                return false;
            }
        }
        true
    }

    fn informed(&mut self, cx: &mut ActorContext<'_>, info: Info) {
        self.trace(cx, || Some(TraceEvent::Info(format!("{info:?}"))));
        self.statistics.infos += 1;
        let flow = self.engine.info(cx, info);
        self.follow(cx, flow);
    }

    fn trace_typed(&self, cx: &mut ActorContext<'_>, call: bool, payload: &[u8]) {
        let kind = if call { TraceEvent::Call } else { TraceEvent::Cast };
        self.trace(cx, || self.engine.describe(call, payload).map(kind));
    }

    fn trace(&self, cx: &mut ActorContext<'_>, event: impl FnOnce() -> Option<TraceEvent>) {
        if let Some(tracer) = self.tracer
            && let Some(Ok(payload)) = event().map(|event| envelope::write(&event))
        {
            cx.send(&Target::Process(tracer), payload);
        }
    }

    /// A system request; `None` where it is none, or no request at all.
    fn system_request(input: &Input) -> Option<(ReplyTo, Result<SystemRequest, postcard::Error>)> {
        match input {
            Input::Request { reply_to, payload } => match envelope::asked(payload) {
                Asked::System(request) => Some((*reply_to, envelope::read(request))),
                _ => None,
            },
            _ => None,
        }
    }

    fn serve(&mut self, cx: &mut ActorContext<'_>, reply_to: ReplyTo, request: SystemRequest) {
        match request {
            SystemRequest::Start if self.phase == Phase::Waiting => {
                return self.begin(cx, Some(reply_to));
            }
            SystemRequest::StartFor(owner) if self.phase == Phase::Waiting => {
                self.owner = Some(owner);
                return self.begin(cx, Some(reply_to));
            }
            SystemRequest::Start | SystemRequest::StartFor(_) => {
                answer(cx, reply_to, &Started::Running);
            }
            // It is answered by the end itself.
            SystemRequest::Stop(reason) => return self.stop(cx, reason),
            SystemRequest::Suspend => {
                if self.phase == Phase::Running {
                    self.phase = Phase::Suspended;
                }
                answer(cx, reply_to, &());
            }
            SystemRequest::Resume => {
                if self.phase == Phase::Suspended {
                    self.phase = Phase::Running;
                }
                answer(cx, reply_to, &());
            }
            SystemRequest::Status => answer(cx, reply_to, &self.status(cx.now())),
            SystemRequest::GetState => {
                let state = self.engine.state().and_then(|state| StateBytes::new(&state));
                answer(cx, reply_to, &state);
            }
            SystemRequest::ReplaceState(state) => {
                answer(cx, reply_to, &self.engine.replace_state(state.as_bytes()));
            }
            SystemRequest::Trace(tracer) => {
                self.tracer = tracer;
                answer(cx, reply_to, &());
            }
        }
        if self.phase != Phase::Waiting {
            self.engine.system(cx, self.phase == Phase::Suspended);
        }
        self.take_held(cx);
    }

    fn status(&self, now: Instant) -> Status {
        Status {
            parent: self.parent,
            suspended: self.phase == Phase::Suspended,
            state: format!("{:?}", self.engine),
            statistics: Statistics { age: now.since(self.since), ..self.statistics },
        }
    }

    /// Why it must end, if an input is the exit of its parent or of its node.
    fn exit_from_above(&self, cx: &ActorContext<'_>, input: &Input) -> Option<ExitReason> {
        match input {
            Input::Signal(Signal::Exit { from, reason }) => {
                let node = ProcessId { serial: Serial::NODE, ..cx.me() };
                // Before it has begun, whoever is linked to it is who was to start it.
                let early = self.phase == Phase::Waiting;
                let parents = [Some(node), self.parent, self.owner];
                let above = early || parents.contains(&Some(*from));
                above.then(|| reason.clone())
            }
            _ => None,
        }
    }
}

impl<E: Engine> Actor for Behaviour<E> {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        if self.phase == Phase::Running {
            self.begin(cx, None);
        }
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        if let Some((reply_to, request)) = Self::system_request(&input) {
            return match request {
                Ok(request) => self.serve(cx, reply_to, request),
                Err(_) => self.refuse(cx, reply_to),
            };
        }
        if let Some(reason) = self.exit_from_above(cx, &input) {
            return self.stop(cx, reason);
        }
        match (self.phase, input) {
            (Phase::Beginning, Input::Signal(signal)) => {
                let beginning = self.engine.beginning(cx, signal);
                self.begun(cx, beginning);
            }
            (Phase::Waiting | Phase::Beginning | Phase::Suspended, input) => self.hold(cx, input),
            (Phase::Running, input) => self.take(cx, input),
            // After its end nothing comes.
            (Phase::Ending, _) => {}
        }
    }

    fn panicked(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) {
        match self.phase {
            Phase::Waiting | Phase::Beginning => {
                self.report_end(cx, &reason);
                cx.end(reason);
            }
            Phase::Running | Phase::Suspended => {
                let flow = self.engine.panicked(cx, reason);
                self.follow(cx, flow);
                self.handling = None;
                self.take_held(cx);
            }
            Phase::Ending => {
                self.engine.last_words(cx);
                self.report_end(cx, &reason);
                cx.end(reason);
            }
        }
    }
}

fn answer(cx: &mut ActorContext<'_>, reply_to: ReplyTo, value: &impl Serialize) {
    cx.reply(reply_to, envelope::write(value).map_err(|_| Failure::NotUnderstood));
}
