//! The engine of supervisors.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use bytes::Bytes;

use super::change::{Awaited, Change, Purpose, Step};
use super::children::{Children, Key, Known};
use super::restart::Restarts;
use super::spec::Make;
use super::{
    Answer, Ask, AutoShutdown, ChildError, ChildSpec, Lost, Restart, Shutdown, Strategy, Supervisor,
};
use crate::behaviour::{
    Beginning, Caller, Engine, Flow, Info, Never, Report, Started, SystemRequest, envelope,
};
use crate::call::{CallError, Failure, Server};
use crate::error::CommandError;
use crate::process::{
    ActorContext, ExitReason, MAX_REASON, ProcessId, ReplyTo, Signal, SpawnOptions, Target,
};
use crate::time::Duration;

/// The engine of supervisors.
#[derive(Debug)]
pub struct SupervisorEngine {
    pub(super) spec: Supervisor,
    pub(super) children: Children,
    restarts: Restarts,
    /// What is under way.
    change: Option<Change>,
    /// What came meanwhile.
    pub(super) waiting: VecDeque<Waiting>,
    /// Restarts that failed and are tried again, by the timer that says when; whether that counts.
    retries: BTreeMap<u64, (Key, bool)>,
    /// For whom children are hosted, each with the monitor that tells of its end.
    pub(super) owners: BTreeMap<ProcessId, u64>,
}

#[derive(Debug)]
pub(super) enum Waiting {
    Asked(Caller<Answer>, Ask),
    Ended {
        key: Key,
        process: ProcessId,
        reason: ExitReason,
    },
    Retry {
        key: Key,
        counted: bool,
    },
    /// The owner of hosted children is gone.
    Orphaned(ProcessId),
}

impl SupervisorEngine {
    pub(super) fn new(spec: Supervisor) -> Self {
        Self {
            spec,
            children: Children::default(),
            restarts: Restarts::default(),
            change: None,
            waiting: VecDeque::new(),
            retries: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    pub(super) fn is_simple(&self) -> bool {
        self.spec.strategy == Strategy::SimpleOneForOne
    }

    /// Does steps until one has to wait; then whatever came meanwhile.
    fn go_on(&mut self, cx: &mut ActorContext<'_>) -> Flow {
        loop {
            while let Some(change) = &mut self.change
                && let Awaited::Nothing = change.awaited
            {
                match change.steps.pop_front() {
                    Some(Step::Start(key)) => self.start(cx, key),
                    Some(Step::Stop(keys)) => self.stop_children(cx, &keys),
                    Some(Step::End(reason)) => return ControlFlow::Break(reason),
                    None => self.finish(cx),
                }
            }
            if self.change.is_some() {
                return ControlFlow::Continue(());
            }
            match self.waiting.pop_front() {
                Some(Waiting::Asked(caller, ask)) => self.asked(cx, caller, ask),
                Some(Waiting::Ended { key, process, reason }) => {
                    self.ended(cx, (key, process), reason);
                }
                Some(Waiting::Retry { key, counted }) => self.retry(cx, key, counted),
                Some(Waiting::Orphaned(owner)) => self.orphaned(owner),
                None => return ControlFlow::Continue(()),
            }
        }
    }

    pub(super) fn begin_change(&mut self, purpose: Purpose, steps: impl IntoIterator<Item = Step>) {
        self.change = Some(Change::new(purpose, steps));
    }

    pub(super) fn await_now(&mut self, awaited: Awaited) {
        if let Some(change) = &mut self.change {
            change.awaited = awaited;
        }
    }

    /// All steps are done.
    fn finish(&mut self, cx: &mut ActorContext<'_>) {
        if let Some(Change { purpose: Purpose::Terminate(reply_to), .. }) = self.change.take() {
            Caller::new(reply_to).reply(cx, &Answer::Done(Ok(())));
        }
    }

    fn start(&mut self, cx: &mut ActorContext<'_>, key: Key) {
        let Some(Known { spec, args, owner, .. }) = self.children.get(key) else {
            return;
        };
        let make = match &spec.make {
            Make::Here(make) => make,
            Make::There(places) => {
                let none = ChildError::NoPlace("there is none; name one at least".into());
                let places = places(args).into();
                return self.start_there(cx, key, places, none);
            }
        };
        let options = SpawnOptions {
            link: Some(cx.me().serial),
            monitor: None,
            name: spec.name.clone(),
            trap_exit: spec.trap_exit,
        };
        let process = cx.spawn_with(make(args), options);
        let request = match owner {
            None => SystemRequest::Start,
            Some(owner) => SystemRequest::StartFor(owner.process),
        };
        let request = request.write().unwrap_or_default();
        let call = cx.call(Server::Process(process.into()), request, None);
        self.await_now(Awaited::Start { key, process, call });
    }

    /// A child that was asked to begin has, or has nothing to do.
    pub(super) fn started(
        &mut self,
        cx: &mut ActorContext<'_>,
        key: Key,
        process: Option<ProcessId>,
    ) {
        let child = self.id_of(key);
        cx.report(Report::ChildStarted { child, process });
        match process {
            Some(process) => self.children.runs(key, process),
            None => self.at_its_end(key),
        }
        self.await_now(Awaited::Nothing);
        if let Some(Change { purpose: Purpose::Add(to) | Purpose::Again(to), .. }) = self.change {
            Caller::new(to).reply(cx, &Answer::Started(Ok(process)));
        }
    }

    fn id_of(&self, key: Key) -> String {
        self.children.get(key).map_or_else(String::new, |child| child.spec.id.clone())
    }

    /// A child was not able to begin.
    pub(super) fn not_started(&mut self, cx: &mut ActorContext<'_>, key: Key, error: ChildError) {
        let Some(purpose) = self.change.as_ref().map(|change| change.purpose) else {
            return;
        };
        let child = self.id_of(key);
        if let Purpose::Beginning | Purpose::Restart = purpose {
            // In all other cases whoever asked is told.
            cx.report(Report::ChildNotStarted { child: child.clone(), error: error.clone() });
        }
        let patience = match self.children.get(key).map(|child| child.spec.lost) {
            Some(Lost::Retry(after)) if matches!(error, ChildError::NoPlace(_)) => Some(after),
            _ => None,
        };
        if purpose == Purpose::Beginning
            && let Some(after) = patience
        {
            self.try_again(cx, key, Some(after));
            return self.await_now(Awaited::Nothing);
        }
        self.change = None;
        match purpose {
            Purpose::Beginning => {
                let text = format!("the child `{child}` did not start: {error}");
                self.end_all(
                    cx,
                    ExitReason::shutdown_with(cut(&text)).unwrap_or(ExitReason::Shutdown),
                );
            }
            Purpose::Add(to) => {
                self.children.forget(key);
                Caller::new(to).reply(cx, &Answer::Started(Err(error)));
            }
            Purpose::Again(to) => Caller::new(to).reply(cx, &Answer::Started(Err(error))),
            // At once is behind whatever is in the mailbox.
            Purpose::Restart => self.try_again(cx, key, patience),
            Purpose::Terminate(_) | Purpose::Orphans | Purpose::Ending => {}
        }
    }

    /// Tries a start again, after so long and uncounted, or at once and counted.
    fn try_again(&mut self, cx: &mut ActorContext<'_>, key: Key, after: Option<Duration>) {
        self.children.set_restarting(key);
        let timer = cx.send_after(after.unwrap_or_default(), cx.me(), envelope::timer());
        self.retries.insert(timer, (key, after.is_none()));
    }

    fn stop_children(&mut self, cx: &mut ActorContext<'_>, keys: &[Key]) {
        let (mut left, mut timers) = (BTreeSet::new(), BTreeMap::new());
        for child in keys.iter().filter_map(|key| self.children.get(*key)) {
            let Some(process) = child.process else {
                continue;
            };
            let reason = match child.spec.shutdown {
                Shutdown::Kill => ExitReason::Kill,
                Shutdown::After(_) | Shutdown::Infinity => ExitReason::Shutdown,
            };
            cx.exit(process, reason);
            if let Shutdown::After(after) = child.spec.shutdown {
                timers.insert(cx.send_after(after, cx.me(), envelope::timer()), process);
            }
            left.insert(process);
        }
        for key in keys {
            self.at_its_end(*key);
        }
        // Those that had ended by themselves are dealt with by this, too.
        let mut ended = Vec::new();
        self.waiting.retain(|it| match it {
            Waiting::Ended { key, process, reason } if keys.contains(key) => {
                ended.push((*key, *process, reason.clone()));
                false
            }
            _ => true,
        });
        for (key, process, reason) in ended {
            self.report_end(cx, (key, process), &reason);
        }
        if !left.is_empty() {
            self.await_now(Awaited::Stops { left, timers });
        }
    }

    /// One that was told to end has.
    fn stopped(&mut self, cx: &mut ActorContext<'_>, process: ProcessId, reason: ExitReason) {
        if let Some(key) = self.children.ended(process) {
            let shutdown = self.children.get(key).map(|child| child.spec.shutdown);
            let meant = shutdown == Some(Shutdown::Kill) && reason == ExitReason::Killed;
            if !reason.is_orderly() && !meant {
                let child = self.id_of(key);
                cx.report(Report::ChildNotShutDown { child, process, reason });
            }
            self.at_its_end(key);
        }
        let Some(Change { awaited: Awaited::Stops { left, timers }, .. }) = &mut self.change else {
            return;
        };
        left.remove(&process);
        timers.retain(|timer, of| {
            let keep = *of != process;
            if !keep {
                cx.cancel_timer(*timer);
            }
            keep
        });
        if left.is_empty() {
            self.await_now(Awaited::Nothing);
        }
    }

    /// A child is not to be started again by itself: one that does not run may be forgotten.
    fn at_its_end(&mut self, key: Key) {
        let Some(child) = self.children.get(key) else {
            return;
        };
        let temporary = child.spec.restart == Restart::Temporary || self.is_simple();
        match temporary && child.process.is_none() {
            true => self.children.forget(key),
            false => self.children.rests(key),
        }
    }

    fn report_end(
        &self,
        cx: &mut ActorContext<'_>,
        (key, process): (Key, ProcessId),
        reason: &ExitReason,
    ) {
        let permanent =
            self.children.get(key).is_some_and(|it| it.spec.restart == Restart::Permanent);
        if permanent || !reason.is_orderly() {
            let (child, reason) = (self.id_of(key), reason.clone());
            cx.report(Report::ChildEnded { child, process, reason });
        }
    }

    /// A child ended by itself.
    fn ended(
        &mut self,
        cx: &mut ActorContext<'_>,
        (key, process): (Key, ProcessId),
        reason: ExitReason,
    ) {
        self.report_end(cx, (key, process), &reason);
        let Some(ChildSpec { restart, significant, lost, .. }) =
            self.children.get(key).map(|child| child.spec.clone())
        else {
            return;
        };
        let lost = reason == ExitReason::NoConnection && lost != Lost::Restart;
        match restart {
            Restart::Permanent | Restart::Transient if lost => return self.start_again(key),
            Restart::Permanent => return self.restart(cx, key),
            Restart::Transient if !reason.is_orderly() => return self.restart(cx, key),
            Restart::Transient if !self.is_simple() => {}
            Restart::Transient | Restart::Temporary => self.children.forget(key),
        }
        let over = match self.spec.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => significant,
            AutoShutdown::AllSignificant => significant && !self.has_significant(),
        };
        if over {
            self.end_all(cx, ExitReason::Shutdown);
        }
    }

    /// Whether a significant child runs, or may run again.
    fn has_significant(&self) -> bool {
        let is_significant = |key| self.children.get(key).is_some_and(|it| it.spec.significant);
        let mut waiting = self.waiting.iter();
        self.children.has_significant()
            || waiting.any(|it| matches!(it, Waiting::Ended { key, .. } if is_significant(*key)))
    }

    fn retry(&mut self, cx: &mut ActorContext<'_>, key: Key, counted: bool) {
        match self.children.get(key) {
            Some(child) if child.restarting && counted => self.restart(cx, key),
            Some(child) if child.restarting => self.start_again(key),
            _ => {}
        }
    }

    /// Starts a child again, unless there were too many restarts.
    fn restart(&mut self, cx: &mut ActorContext<'_>, key: Key) {
        let Supervisor { intensity, period, .. } = self.spec;
        if !self.restarts.add(cx.now(), intensity, period) {
            let child = self.id_of(key);
            cx.report(Report::TooManyRestarts { child, intensity, period });
            return self.end_all(cx, ExitReason::Shutdown);
        }
        self.start_again(key);
    }

    fn start_again(&mut self, key: Key) {
        let first = match self.spec.strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => {
                return self.begin_change(Purpose::Restart, [Step::Start(key)]);
            }
            Strategy::RestForOne => key,
            Strategy::OneForAll => 0,
        };
        let lasts = |(key, child): (Key, &Known)| {
            (child.spec.restart != Restart::Temporary).then_some(Step::Start(key))
        };
        let stops = self.children.from(first).rev().map(|(key, _)| Step::Stop([key].into()));
        let steps: Vec<Step> = stops.chain(self.children.from(first).filter_map(lasts)).collect();
        self.begin_change(Purpose::Restart, steps);
    }

    /// Ends all children, the last first, and then itself. Children of one kind end all at once.
    fn end_all(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) {
        match self.change.as_ref().map(|change| &change.awaited) {
            Some(Awaited::Start { key, process, .. }) => self.children.runs(*key, *process),
            Some(Awaited::Place { key, call, place, .. }) => {
                cx.abandon(*call);
                place.release(cx, *key);
            }
            _ => {}
        }
        let keys = self.children.from(0).rev().map(|(key, _)| key);
        let mut steps: Vec<Step> = match self.is_simple() {
            true => [Step::Stop(keys.collect())].into(),
            false => keys.map(|key| Step::Stop([key].into())).collect(),
        };
        steps.push(Step::End(reason));
        self.retries.clear();
        self.begin_change(Purpose::Ending, steps);
    }

    /// A signal, in whatever phase.
    fn told(&mut self, cx: &mut ActorContext<'_>, signal: Signal) -> Flow {
        match signal {
            Signal::Exit { from, reason } => self.exited(cx, from, reason),
            Signal::Down { number, target: Target::Process(process), reason, .. } => {
                self.watched_ended(cx, (process, number), reason);
            }
            Signal::Answer { number, result } => self.answered(cx, number, result),
            Signal::NotSpawned { process, error } => self.refused(cx, process, error),
            Signal::Timer { number, payload } if envelope::is_timer(&payload) => {
                self.timer(cx, number);
            }
            _ => {}
        }
        self.go_on(cx)
    }

    pub(super) fn exited(
        &mut self,
        cx: &mut ActorContext<'_>,
        from: ProcessId,
        reason: ExitReason,
    ) {
        match self.change.as_ref().map(|change| &change.awaited) {
            Some(Awaited::Start { key, process, call }) if *process == from => {
                let key = *key;
                cx.abandon(*call);
                self.not_started(cx, key, ChildError::Failed(reason));
            }
            Some(Awaited::Idle { key, process }) if *process == from => {
                let key = *key;
                self.started(cx, key, None);
            }
            Some(Awaited::Stops { left, .. }) if left.contains(&from) => {
                self.stopped(cx, from, reason);
            }
            _ => {
                if let Some(key) = self.children.ended(from) {
                    self.waiting.push_back(Waiting::Ended { key, process: from, reason });
                }
            }
        }
    }

    /// The process of a child did not come to life.
    fn refused(&mut self, cx: &mut ActorContext<'_>, refused: ProcessId, error: CommandError) {
        let Some(Change { awaited: Awaited::Start { key, process, call }, .. }) = self.change
        else {
            return;
        };
        if process == refused {
            cx.abandon(call);
            let error = match error {
                CommandError::NameTaken { name, holder } => {
                    ChildError::NameTaken { name, holder: ProcessId { serial: holder, ..refused } }
                }
                error => ChildError::NotSpawned(error.to_string()),
            };
            self.not_started(cx, key, error);
        }
    }

    fn answered(
        &mut self,
        cx: &mut ActorContext<'_>,
        number: u64,
        result: Result<Bytes, CallError>,
    ) {
        let Some(change) = &mut self.change else {
            return;
        };
        let (key, process) = match core::mem::replace(&mut change.awaited, Awaited::Nothing) {
            Awaited::Start { key, process, call } if call == number => (key, process),
            Awaited::Place { key, call, place, left } if call == number => {
                return self.place_answered(cx, (key, place, left), result);
            }
            other => return change.awaited = other,
        };
        let error = match result {
            Ok(payload) => match envelope::read::<Started>(&payload) {
                Ok(Started::Running) => return self.started(cx, key, Some(process)),
                Ok(Started::Ignored) => return self.await_now(Awaited::Idle { key, process }),
                Err(_) => ChildError::NotStarted(Failure::NotUnderstood),
            },
            Err(CallError::Failed(Failure::Exited(reason))) => ChildError::Failed(reason),
            Err(CallError::Failed(failure)) => ChildError::NotStarted(failure),
            Err(_) => ChildError::NotStarted(Failure::Overloaded),
        };
        // If it lives, it is of no use.
        cx.exit(process, ExitReason::Kill);
        self.not_started(cx, key, error);
    }

    fn timer(&mut self, cx: &mut ActorContext<'_>, number: u64) {
        if let Some((key, counted)) = self.retries.remove(&number) {
            return self.waiting.push_back(Waiting::Retry { key, counted });
        }
        if let Some(Change { awaited: Awaited::Stops { timers, .. }, .. }) = &mut self.change
            && let Some(process) = timers.remove(&number)
        {
            cx.exit(process, ExitReason::Kill);
        }
    }

    fn has_begun(&self, flow: Flow) -> Beginning {
        match flow {
            ControlFlow::Break(reason) => ControlFlow::Break(reason),
            ControlFlow::Continue(()) => {
                ControlFlow::Continue(self.change.is_none().then_some(Started::Running))
            }
        }
    }
}

impl Engine for SupervisorEngine {
    type Protocol = Supervisor;

    const KIND: &'static str = "supervisor";

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Beginning {
        if let Err(error) = self.spec.check() {
            let reason = ExitReason::other(cut(&error.to_string()));
            return ControlFlow::Break(reason.unwrap_or(ExitReason::SystemLimit));
        }
        cx.trap_exit(true);
        if !self.is_simple() {
            for child in self.spec.children.clone() {
                self.children.add(child, Vec::new(), None);
            }
        }
        let steps: Vec<Step> = self.children.from(0).map(|(key, _)| Step::Start(key)).collect();
        self.begin_change(Purpose::Beginning, steps);
        let flow = self.go_on(cx);
        self.has_begun(flow)
    }

    fn beginning(&mut self, cx: &mut ActorContext<'_>, signal: Signal) -> Beginning {
        let flow = self.told(cx, signal);
        self.has_begun(flow)
    }

    fn call(
        &mut self,
        cx: &mut ActorContext<'_>,
        reply_to: ReplyTo,
        call: &[u8],
    ) -> Result<Flow, postcard::Error> {
        let ask = envelope::read(call)?;
        if self.waiting.len() >= self.spec.max_waiting {
            cx.reply(reply_to, Err(Failure::Overloaded));
            return Ok(ControlFlow::Continue(()));
        }
        self.waiting.push_back(Waiting::Asked(Caller::new(reply_to), ask));
        Ok(self.go_on(cx))
    }

    fn cast(&mut self, _: &mut ActorContext<'_>, cast: &[u8]) -> Result<Flow, postcard::Error> {
        match envelope::read::<Never>(cast)? {}
    }

    fn info(&mut self, cx: &mut ActorContext<'_>, info: Info) -> Flow {
        match info {
            Info::Signal(signal) => self.told(cx, signal),
            Info::Message { .. } => ControlFlow::Continue(()),
        }
    }

    fn stop(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) -> Flow {
        self.end_all(cx, reason);
        self.go_on(cx)
    }

    fn terminate(&mut self, _: &mut ActorContext<'_>, _: &ExitReason) {}

    fn describe(&self, call: bool, payload: &[u8]) -> Option<String> {
        call.then(|| envelope::read::<Ask>(payload).ok())?.map(|ask| format!("{ask:?}"))
    }

    fn state(&self) -> Option<Bytes> {
        None
    }

    fn replace_state(&mut self, _: &[u8]) -> bool {
        false
    }
}

/// As much of a text as a reason holds.
fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(MAX_REASON)]
}
