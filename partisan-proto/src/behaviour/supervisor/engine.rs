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
use super::{
    Answer, Ask, AutoShutdown, Child, ChildCount, ChildError, ChildSpec, Restart, Shutdown,
    Strategy, Supervisor,
};
use crate::behaviour::{
    Beginning, Caller, Engine, Flow, Info, MAX_HELD, Never, Started, SystemRequest, envelope,
};
use crate::call::{CallError, Failure, Server};
use crate::error::CommandError;
use crate::process::{
    ActorContext, ExitReason, MAX_REASON, ProcessId, ReplyTo, Signal, SpawnOptions,
};

/// The engine of supervisors.
#[derive(Debug)]
pub struct SupervisorEngine {
    spec: Supervisor,
    children: Children,
    restarts: Restarts,
    /// What is under way.
    change: Option<Change>,
    /// What came meanwhile.
    waiting: VecDeque<Waiting>,
    /// Restarts that failed and are tried again, by the timer that says when.
    retries: BTreeMap<u64, Key>,
}

#[derive(Debug)]
enum Waiting {
    Asked(Caller<Answer>, Ask),
    Ended(Key, ExitReason),
    Retry(Key),
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
        }
    }

    fn is_simple(&self) -> bool {
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
                Some(Waiting::Ended(key, reason)) => self.ended(cx, key, &reason),
                Some(Waiting::Retry(key)) => self.retry(cx, key),
                None => return ControlFlow::Continue(()),
            }
        }
    }

    fn begin_change(&mut self, purpose: Purpose, steps: impl IntoIterator<Item = Step>) {
        self.change = Some(Change::new(purpose, steps));
    }

    fn await_now(&mut self, awaited: Awaited) {
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
        let Some(Known { spec, args, .. }) = self.children.get(key) else {
            return;
        };
        let options = SpawnOptions {
            link: Some(cx.me().serial),
            monitor: None,
            name: spec.name.clone(),
            trap_exit: spec.trap_exit,
        };
        let process = cx.spawn_with((spec.make)(args), options);
        let request = SystemRequest::Start.write().unwrap_or_default();
        let call = cx.call(Server::Process(process.into()), request, None);
        self.await_now(Awaited::Start { key, process, call });
    }

    /// A child that was asked to begin has, or has nothing to do.
    fn started(&mut self, cx: &mut ActorContext<'_>, (key, process): (Key, ProcessId), runs: bool) {
        let process = runs.then_some(process);
        match process {
            Some(process) => self.children.runs(key, process),
            None => self.at_its_end(key),
        }
        self.await_now(Awaited::Nothing);
        if let Some(Change { purpose: Purpose::Add(to) | Purpose::Again(to), .. }) = self.change {
            Caller::new(to).reply(cx, &Answer::Started(Ok(process)));
        }
    }

    /// A child was not able to begin.
    fn not_started(&mut self, cx: &mut ActorContext<'_>, key: Key, error: ChildError) {
        let Some(Change { purpose, .. }) = self.change.take() else {
            return;
        };
        match purpose {
            Purpose::Beginning => {
                let id = self.children.get(key).map_or("", |child| &child.spec.id);
                let text = format!("the child `{id}` did not start: {error}");
                self.end_all(ExitReason::shutdown_with(cut(&text)).unwrap_or(ExitReason::Shutdown));
            }
            Purpose::Add(to) => {
                self.children.forget(key);
                Caller::new(to).reply(cx, &Answer::Started(Err(error)));
            }
            Purpose::Again(to) => Caller::new(to).reply(cx, &Answer::Started(Err(error))),
            Purpose::Restart => {
                self.children.set_restarting(key);
                // Behind whatever is in the mailbox.
                let timer = cx.send_after(core::time::Duration::ZERO, cx.me(), envelope::timer());
                self.retries.insert(timer, key);
            }
            Purpose::Terminate(_) | Purpose::Ending => {}
        }
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
        self.waiting.retain(|it| !matches!(it, Waiting::Ended(key, _) if keys.contains(key)));
        if !left.is_empty() {
            self.await_now(Awaited::Stops { left, timers });
        }
    }

    /// One that was told to end has.
    fn stopped(&mut self, cx: &mut ActorContext<'_>, process: ProcessId) {
        if let Some(key) = self.children.ended(process) {
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

    /// A child ended by itself.
    fn ended(&mut self, cx: &mut ActorContext<'_>, key: Key, reason: &ExitReason) {
        let Some(ChildSpec { restart, significant, .. }) =
            self.children.get(key).map(|child| child.spec.clone())
        else {
            return;
        };
        match restart {
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
            self.end_all(ExitReason::Shutdown);
        }
    }

    /// Whether a significant child runs, or may run again.
    fn has_significant(&self) -> bool {
        let is_significant = |key| self.children.get(key).is_some_and(|it| it.spec.significant);
        let mut waiting = self.waiting.iter();
        self.children.has_significant()
            || waiting.any(|it| matches!(it, Waiting::Ended(key, _) if is_significant(*key)))
    }

    fn retry(&mut self, cx: &mut ActorContext<'_>, key: Key) {
        if self.children.get(key).is_some_and(|child| child.restarting) {
            self.restart(cx, key);
        }
    }

    fn restart(&mut self, cx: &mut ActorContext<'_>, key: Key) {
        if !self.restarts.add(cx.now(), self.spec.intensity, self.spec.period) {
            return self.end_all(ExitReason::Shutdown);
        }
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
    fn end_all(&mut self, reason: ExitReason) {
        if let Some(Change { awaited: Awaited::Start { key, process, .. }, .. }) = self.change {
            self.children.runs(key, process);
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

    fn asked(&mut self, cx: &mut ActorContext<'_>, caller: Caller<Answer>, ask: Ask) {
        let answer = match ask {
            Ask::WhichChildren => Some(Answer::Children(self.children.infos())),
            Ask::CountChildren => Some(Answer::Count(self.count())),
            Ask::StartChild { id, args } => {
                self.add(&id, args, caller).err().map(|error| Answer::Started(Err(error)))
            }
            Ask::RestartChild(id) => {
                self.again(&id, caller).err().map(|error| Answer::Started(Err(error)))
            }
            Ask::DeleteChild(id) => Some(Answer::Done(self.delete(&id))),
            Ask::TerminateChild(child) => {
                self.terminate_child(&child, caller).err().map(|error| Answer::Done(Err(error)))
            }
        };
        if let Some(answer) = answer {
            caller.reply(cx, &answer);
        }
    }

    fn count(&self) -> ChildCount {
        let count = self.children.count();
        ChildCount { specs: if self.is_simple() { 1 } else { count.specs }, ..count }
    }

    fn add(&mut self, id: &str, args: Vec<u8>, caller: Caller<Answer>) -> Result<(), ChildError> {
        let spec = match (&self.spec.children[..], &self.spec.dynamic) {
            ([one], _) if self.is_simple() => one.clone(),
            (_, dynamic) => {
                self.is_free(id)?;
                let known = dynamic.as_ref().and_then(|dynamic| dynamic(id));
                let spec = known.ok_or(ChildError::Unknown)?;
                let bad = |error: super::SpecError| ChildError::BadSpec(error.to_string());
                let spec = ChildSpec { id: id.into(), ..spec };
                self.spec.check_child(&spec).map_err(bad)?;
                spec
            }
        };
        let key = self.children.add(spec, args);
        self.begin_change(Purpose::Add(caller.reply_to()), [Step::Start(key)]);
        Ok(())
    }

    fn is_free(&self, id: &str) -> Result<(), ChildError> {
        match self.children.named(id).map(|(_, child)| (child.process, child.restarting)) {
            None => Ok(()),
            Some((Some(process), _)) => Err(ChildError::AlreadyStarted(process)),
            Some((None, true)) => Err(ChildError::Restarting),
            Some((None, false)) => Err(ChildError::AlreadyPresent),
        }
    }

    /// A child of this name that does not run.
    fn at_rest(&self, id: &str) -> Result<Key, ChildError> {
        if self.is_simple() {
            return Err(ChildError::Nameless);
        }
        match self.children.named(id) {
            None => Err(ChildError::NotFound),
            Some((_, child)) if child.process.is_some() => Err(ChildError::Running),
            Some((_, child)) if child.restarting => Err(ChildError::Restarting),
            Some((key, _)) => Ok(key),
        }
    }

    fn again(&mut self, id: &str, caller: Caller<Answer>) -> Result<(), ChildError> {
        let key = self.at_rest(id)?;
        self.begin_change(Purpose::Again(caller.reply_to()), [Step::Start(key)]);
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let key = self.at_rest(id)?;
        self.children.forget(key);
        Ok(())
    }

    fn terminate_child(&mut self, child: &Child, caller: Caller<Answer>) -> Result<(), ChildError> {
        let key = self.children.find(child, self.is_simple())?;
        let stop = Step::Stop([key].into());
        self.begin_change(Purpose::Terminate(caller.reply_to()), [stop]);
        Ok(())
    }

    /// A signal, in whatever phase.
    fn told(&mut self, cx: &mut ActorContext<'_>, signal: Signal) -> Flow {
        match signal {
            Signal::Exit { from, reason } => self.exited(cx, from, reason),
            Signal::Answer { number, result } => self.answered(cx, number, result),
            Signal::NotSpawned { process, error } => self.refused(cx, process, error),
            Signal::Timer { number, payload } if envelope::is_timer(&payload) => {
                self.timer(cx, number);
            }
            _ => {}
        }
        self.go_on(cx)
    }

    fn exited(&mut self, cx: &mut ActorContext<'_>, from: ProcessId, reason: ExitReason) {
        match self.change.as_ref().map(|change| &change.awaited) {
            Some(Awaited::Start { key, process, call }) if *process == from => {
                let key = *key;
                cx.abandon(*call);
                self.not_started(cx, key, ChildError::Failed(reason));
            }
            Some(Awaited::Stops { left, .. }) if left.contains(&from) => self.stopped(cx, from),
            _ => {
                let ended = self.children.ended(from);
                self.waiting.extend(ended.map(|key| Waiting::Ended(key, reason)));
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
        let Some(Change { awaited: Awaited::Start { key, process, call }, .. }) = self.change
        else {
            return;
        };
        if call != number {
            return;
        }
        let error = match result {
            Ok(payload) => match envelope::read::<Started>(&payload) {
                Ok(started) => {
                    return self.started(cx, (key, process), started == Started::Running);
                }
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
        if let Some(key) = self.retries.remove(&number) {
            return self.waiting.push_back(Waiting::Retry(key));
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

    fn init(&mut self, cx: &mut ActorContext<'_>) -> Beginning {
        if let Err(error) = self.spec.check() {
            let reason = ExitReason::other(cut(&error.to_string()));
            return ControlFlow::Break(reason.unwrap_or(ExitReason::SystemLimit));
        }
        cx.trap_exit(true);
        if !self.is_simple() {
            for child in self.spec.children.clone() {
                self.children.add(child, Vec::new());
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
        if self.waiting.len() >= MAX_HELD {
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
        self.end_all(reason);
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
