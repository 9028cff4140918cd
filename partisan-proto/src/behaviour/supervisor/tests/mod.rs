//! The rules of supervisors, with children that do as the test says.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

mod remote;
mod reports;

use super::*;
use crate::behaviour::{
    CallResult, Caller, GenServer, Next, Report, ServerProcess, ServerRef, Started, SystemRequest,
    envelope,
};
use crate::call::{CallError, Server};
use crate::error::CommandError;
use crate::process::{ActorContext, Effect, ProcessAct, ReplyTo, Serial, Signal, Solo, Target};
use crate::time::Duration;

/// A child, which does nothing here: the test answers for it, and knows it by how it is shown.
struct Kid {
    id: String,
}

impl core::fmt::Debug for Kid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "id: {:?}", self.id)
    }
}

impl Protocol for Kid {
    type Call = ();
    type Reply = ();
    type Cast = ();
}

impl GenServer for Kid {
    type Continue = ();

    fn handle_call(&mut self, (): (), _: Caller<()>, _: &mut ActorContext<'_>) -> CallResult<Self> {
        CallResult::reply(())
    }

    fn handle_cast(&mut self, (): (), _: &mut ActorContext<'_>) -> Next<Self> {
        Next::Wait
    }
}

fn kid(id: &'static str) -> ChildSpec {
    ChildSpec::new(id, move || ServerProcess::new(Kid { id: id.into() }))
}

/// A supervisor and its children.
struct Family {
    solo: Solo<SupervisorProcess>,
    alive: BTreeMap<ProcessId, String>,
    /// Those whose starts fail.
    refuses: BTreeSet<&'static str>,
    /// Those whose names others have.
    unnamed: BTreeSet<&'static str>,
    /// Those that end only when they are killed.
    stubborn: BTreeSet<&'static str>,
    /// Those that have nothing to do.
    idle: BTreeSet<&'static str>,
    /// Of those the ones that have said so and have not ended yet.
    ending: Vec<ProcessId>,
    reports: Vec<Report>,
    log: Vec<String>,
}

fn shop() -> ProcessName {
    ProcessName::new("shop").unwrap()
}

fn boom() -> ExitReason {
    ExitReason::other(b"boom").unwrap()
}

impl Family {
    fn new(supervisor: Supervisor) -> Self {
        let mut family = Self::waiting(supervisor);
        family.begin();
        family
    }

    fn waiting(supervisor: Supervisor) -> Self {
        Self {
            solo: Solo::start(SupervisorProcess::new(supervisor).awaiting_start()),
            alive: BTreeMap::new(),
            refuses: BTreeSet::new(),
            unnamed: BTreeSet::new(),
            stubborn: BTreeSet::new(),
            idle: BTreeSet::new(),
            ending: Vec::new(),
            reports: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Has it begin; whether it does.
    fn begin(&mut self) -> bool {
        let request = self.solo.request(SystemRequest::Start.write().unwrap());
        self.settle();
        self.solo.take_reply(request).is_some()
    }

    fn settle(&mut self) {
        self.passes(0);
    }

    fn passes(&mut self, millis: u64) {
        self.solo.advance(Duration::from_millis(millis));
        let mut born = BTreeMap::new();
        loop {
            let effects = self.solo.take_effects();
            if effects.is_empty() && !self.let_idle_end() {
                return;
            }
            for effect in effects {
                self.perform(effect, &mut born);
            }
            self.solo.run();
        }
    }

    /// Those that have nothing to do end once they have said so.
    fn let_idle_end(&mut self) -> bool {
        let Some(from) = self.ending.pop() else { return false };
        self.solo.signal(Signal::Exit { from, reason: ExitReason::Normal });
        self.solo.run();
        true
    }

    fn perform(&mut self, effect: Effect, born: &mut BTreeMap<ProcessId, String>) {
        match effect {
            Effect::Spawn { serial, actor, options } => {
                let text = format!("{actor:?}");
                let (_, rest) = text.split_once("id: \"").unwrap();
                let id = rest.split('"').next().unwrap().to_string();
                let process = ProcessId { serial, ..self.solo.me() };
                if self.unnamed.contains(&*id) {
                    self.log.push(format!("{id} has no name"));
                    let error = CommandError::NameTaken { name: shop(), holder: Serial(77) };
                    options.refused(process, error).for_each(|signal| self.solo.signal(signal));
                }
                born.insert(process, id);
            }
            Effect::Act(ProcessAct::Call { number, server, .. }) => {
                let Server::Process(Target::Process(process)) = server else {
                    panic!("{server:?}")
                };
                let id = born.remove(&process).unwrap();
                self.answer_for(process, number, id);
            }
            Effect::Act(ProcessAct::Exit { target: Target::Process(process), reason }) => {
                self.told_to_end(process, reason);
            }
            Effect::Report(report) => self.reports.push(*report),
            _ => {}
        }
    }

    fn answer_for(&mut self, process: ProcessId, number: u64, id: String) {
        let result = if self.unnamed.contains(&*id) {
            Err(CallError::Failed(Failure::NoProcess))
        } else if self.refuses.contains(&*id) {
            self.log.push(format!("{id} fails"));
            self.solo.signal(Signal::Exit { from: process, reason: boom() });
            Err(CallError::Failed(Failure::Exited(boom())))
        } else if self.idle.contains(&*id) {
            self.log.push(format!("{id} has nothing to do"));
            let result = Ok(envelope::write(&Started::Ignored).unwrap());
            self.solo.signal(Signal::Answer { number, result });
            return self.ending.push(process);
        } else {
            self.log.push(format!("{id} starts"));
            self.alive.insert(process, id);
            Ok(envelope::write(&Started::Running).unwrap())
        };
        self.solo.signal(Signal::Answer { number, result });
    }

    fn told_to_end(&mut self, process: ProcessId, reason: ExitReason) {
        let Some(id) = self.alive.get(&process).cloned() else { return };
        if reason != ExitReason::Kill && self.stubborn.contains(&*id) {
            return self.log.push(format!("{id} does not end"));
        }
        self.alive.remove(&process);
        let killed = reason == ExitReason::Kill;
        self.log.push(format!("{id} {}", if killed { "is killed" } else { "ends" }));
        let reason = if killed { ExitReason::Killed } else { reason };
        self.solo.signal(Signal::Exit { from: process, reason });
    }

    /// A child ends by itself.
    fn dies(&mut self, id: &str, reason: ExitReason) {
        let from = self.process(id);
        self.alive.remove(&from);
        self.solo.signal(Signal::Exit { from, reason });
    }

    fn process(&self, id: &str) -> ProcessId {
        *self.alive.iter().find(|(_, known)| *known == id).unwrap().0
    }

    fn ask(&mut self, ask: Ask) -> ReplyTo {
        self.solo.request(ServerRef::<Supervisor>::write_call(&ask).unwrap())
    }

    fn reply(&mut self, request: ReplyTo) -> Option<Answer> {
        let reply = self.solo.take_reply(request)?;
        Some(ServerRef::<Supervisor>::read_reply(&reply.unwrap()).unwrap())
    }

    fn asks(&mut self, ask: Ask) -> Answer {
        let request = self.ask(ask);
        self.settle();
        self.reply(request).unwrap()
    }

    /// What happened since the last time.
    fn log(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log)
    }

    fn living(&self) -> Vec<&str> {
        self.alive.values().map(String::as_str).collect()
    }
}

fn three(strategy: Strategy) -> Supervisor {
    Supervisor::new(strategy).child(kid("a")).child(kid("b")).child(kid("c"))
}

#[test]
fn children_start_in_order_and_end_in_the_reverse_order() {
    let mut family = Family::new(three(Strategy::OneForOne));
    assert_eq!(family.log(), ["a starts", "b starts", "c starts"]);
    family.solo.request(SystemRequest::Stop(ExitReason::Shutdown).write().unwrap());
    family.settle();
    assert_eq!(family.log(), ["c ends", "b ends", "a ends"]);
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn where_a_child_does_not_start_those_before_end_and_so_does_the_supervisor() {
    let mut family = Family::waiting(three(Strategy::OneForOne));
    family.refuses.insert("c");
    assert!(!family.begin());
    assert_eq!(family.log(), ["a starts", "b starts", "c fails", "b ends", "a ends"]);
    let text = b"the child `c` did not start: it ended in its beginning: boom";
    assert_eq!(family.solo.ended().cloned(), ExitReason::shutdown_with(text));
}

#[test]
fn a_child_whose_name_another_process_has_is_told_of_with_the_name_and_its_holder() {
    let mut family = Family::waiting(three(Strategy::OneForOne));
    family.unnamed.insert("c");
    assert!(!family.begin());
    assert_eq!(family.log(), ["a starts", "b starts", "c has no name", "b ends", "a ends"]);
    let holder = ProcessId { serial: Serial(77), ..family.solo.me() };
    let error = ChildError::NameTaken { name: shop(), holder };
    let text = format!("the child `c` did not start: {error}");
    assert!(text.contains("the name `shop` is that of"), "{text}");
    assert_eq!(family.solo.ended().cloned(), ExitReason::shutdown_with(text.as_bytes()));
    let mut family = Family::new(Supervisor::new(Strategy::OneForOne).dynamic(|_| Some(kid("d"))));
    family.unnamed.insert("d");
    let start = |id: &str| Ask::StartChild { id: id.into(), args: vec![] };
    let holder = ProcessId { serial: Serial(77), ..family.solo.me() };
    let taken = ChildError::NameTaken { name: shop(), holder };
    assert_eq!(family.asks(start("d")), Answer::Started(Err(taken)));
    // What was to answer for it is not waited for any more.
    family.unnamed.clear();
    assert!(matches!(family.asks(start("d")), Answer::Started(Ok(Some(_)))));
}

#[test]
fn who_starts_again_says_the_strategy() {
    let cases: [(Strategy, &[&str]); 3] = [
        (Strategy::OneForOne, &["b starts"]),
        (Strategy::RestForOne, &["c ends", "b starts", "c starts"]),
        (Strategy::OneForAll, &["c ends", "a ends", "a starts", "b starts", "c starts"]),
    ];
    for (strategy, expected) in cases {
        let mut family = Family::new(three(strategy));
        family.log();
        family.dies("b", boom());
        family.settle();
        assert_eq!(family.log(), expected, "{strategy:?}");
    }
}

#[test]
fn when_it_starts_again_says_the_kind_and_the_reason() {
    let shutdown_with = ExitReason::shutdown_with(b"x").unwrap();
    let orderly = [ExitReason::Normal, ExitReason::Shutdown, shutdown_with];
    let disorderly = [boom(), ExitReason::Killed, ExitReason::panicked("oh")];
    let again = |restart, reason: &ExitReason| {
        let supervisor = Supervisor::new(Strategy::OneForOne).child(kid("a").restart(restart));
        let mut family = Family::new(supervisor);
        family.dies("a", reason.clone());
        family.settle();
        let known = family.asks(Ask::WhichChildren) != Answer::Children(vec![]);
        (family.living() == ["a"], known)
    };
    for reason in &orderly {
        assert_eq!(again(Restart::Permanent, reason), (true, true));
        assert_eq!(again(Restart::Transient, reason), (false, true));
        assert_eq!(again(Restart::Temporary, reason), (false, false));
    }
    for reason in &disorderly {
        assert_eq!(again(Restart::Permanent, reason), (true, true));
        assert_eq!(again(Restart::Transient, reason), (true, true));
        assert_eq!(again(Restart::Temporary, reason), (false, false));
    }
}

#[test]
fn temporary_children_that_end_with_others_are_forgotten() {
    let temporary = kid("t").restart(Restart::Temporary);
    let supervisor = Supervisor::new(Strategy::OneForAll).child(kid("a")).child(temporary);
    let mut family = Family::new(supervisor);
    family.log();
    family.dies("a", boom());
    family.settle();
    assert_eq!(family.log(), ["t ends", "a starts"]);
    assert!(matches!(family.asks(Ask::CountChildren), Answer::Count(count) if count.specs == 1));
}

#[test]
fn too_many_restarts_within_the_period_end_it() {
    let supervisor = three(Strategy::OneForOne).intensity(2, Duration::from_secs(5));
    let mut family = Family::new(supervisor);
    for _ in 0..4 {
        family.dies("b", boom());
        family.passes(3_000);
    }
    assert_eq!(family.solo.ended(), None, "three seconds apart they are allowed");
    family.passes(60_000);
    family.log();
    for _ in 0..3 {
        family.dies("b", boom());
        family.passes(1);
    }
    assert_eq!(family.log(), ["b starts", "b starts", "c ends", "a ends"]);
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn a_child_has_as_long_to_end_as_its_specification_says() {
    let with = |shutdown| {
        let supervisor = Supervisor::new(Strategy::OneForOne).child(kid("a").shutdown(shutdown));
        let mut family = Family::new(supervisor);
        family.stubborn.insert("a");
        family.log();
        family.solo.request(SystemRequest::Stop(ExitReason::Normal).write().unwrap());
        family.settle();
        family
    };
    let mut family = with(Shutdown::Kill);
    assert_eq!(family.log(), ["a is killed"]);
    let mut family = with(Shutdown::After(Duration::from_millis(100)));
    family.passes(99);
    assert_eq!(family.log(), ["a does not end"]);
    family.passes(1);
    assert_eq!(family.log(), ["a is killed"]);
    assert_eq!(family.solo.ended(), Some(&ExitReason::Normal));
    let mut family = with(Shutdown::Infinity);
    family.passes(1_000_000);
    assert_eq!((family.log(), family.solo.ended()), (vec!["a does not end".to_string()], None));
}

#[test]
fn a_restart_that_fails_is_tried_again_and_requests_come_in_between() {
    let mut family = Family::new(three(Strategy::OneForOne).intensity(5, Duration::from_secs(5)));
    family.log();
    family.refuses.insert("b");
    family.dies("b", boom());
    let request = family.ask(Ask::WhichChildren);
    // The first try, and the request behind it; not yet the second.
    family.solo.step();
    let effects = family.solo.take_effects();
    let mut born = BTreeMap::new();
    effects.into_iter().for_each(|effect| family.perform(effect, &mut born));
    while family.solo.step() {}
    match family.reply(request) {
        Some(Answer::Children(children)) => {
            let states: Vec<_> = children.iter().map(|child| child.restarting).collect();
            assert_eq!(states, [false, true, false]);
        }
        other => panic!("{other:?}"),
    }
    family.refuses.clear();
    family.settle();
    assert_eq!(family.log(), ["b fails", "b starts"]);
}

#[test]
fn restarts_that_keep_failing_end_it() {
    let mut family = Family::new(three(Strategy::OneForOne).intensity(2, Duration::from_secs(5)));
    family.log();
    family.refuses.insert("b");
    family.dies("b", boom());
    family.settle();
    assert_eq!(family.log(), ["b fails", "b fails", "c ends", "a ends"]);
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn a_restart_of_all_that_fails_is_one_of_all_again() {
    let mut family = Family::new(three(Strategy::OneForAll).intensity(3, Duration::from_secs(5)));
    family.log();
    family.refuses.insert("b");
    family.dies("c", boom());
    family.solo.step();
    family.refuses.clear();
    family.refuses.insert("b");
    family.settle();
    let log = family.log();
    assert_eq!(log[..4], ["b ends", "a ends", "a starts", "b fails"]);
    assert_eq!(log[4..6], ["a ends", "a starts"], "all of them");
}

#[test]
fn children_come_and_go_as_they_are_asked_to() {
    let known = |id: &str| id.starts_with('x').then(|| kid("x"));
    let mut family = Family::new(three(Strategy::OneForOne).dynamic(known));
    let start = |id: &str| Ask::StartChild { id: id.into(), args: vec![] };
    let started = |answer| match answer {
        Answer::Started(Ok(Some(process))) => process,
        other => panic!("{other:?}"),
    };
    let failed = |error| Answer::Started(Err(error));
    let x = started(family.asks(start("x1")));
    assert_eq!(family.asks(start("x1")), failed(ChildError::AlreadyStarted(x)));
    assert_eq!(family.asks(start("y")), failed(ChildError::Unknown));
    let id = || "x1".to_string();
    assert_eq!(family.asks(Ask::DeleteChild(id())), Answer::Done(Err(ChildError::Running)));
    assert_eq!(family.asks(Ask::RestartChild(id())), failed(ChildError::Running));
    assert_eq!(family.asks(Ask::TerminateChild(Child::Id(id()))), Answer::Done(Ok(())));
    assert_eq!(family.asks(start("x1")), failed(ChildError::AlreadyPresent));
    started(family.asks(Ask::RestartChild(id())));
    let process = family.process("x");
    assert_eq!(family.asks(Ask::TerminateChild(Child::Process(process))), Answer::Done(Ok(())));
    assert_eq!(family.asks(Ask::DeleteChild(id())), Answer::Done(Ok(())));
    assert_eq!(family.asks(Ask::DeleteChild(id())), Answer::Done(Err(ChildError::NotFound)));
    family.refuses.insert("x");
    assert_eq!(family.asks(start("x2")), failed(ChildError::Failed(boom())));
    family.idle.insert("x");
    family.refuses.clear();
    assert_eq!(family.asks(start("x2")), Answer::Started(Ok(None)));
    let count = ChildCount { specs: 4, active: 3, supervisors: 0, workers: 4 };
    assert_eq!(family.asks(Ask::CountChildren), Answer::Count(count));
}

#[test]
fn children_of_one_kind_come_with_what_they_are_given() {
    let template = ChildSpec::with_args("kid", |args| {
        ServerProcess::new(Kid { id: String::from_utf8_lossy(args).into_owned() })
    });
    let supervisor = Supervisor::new(Strategy::SimpleOneForOne)
        .intensity(9, Duration::from_secs(1))
        .child(template.restart(Restart::Transient));
    let mut family = Family::new(supervisor);
    assert_eq!(family.log(), Vec::<String>::new(), "none is there at first");
    for args in [b"x", b"y", b"z"] {
        family.asks(Ask::StartChild { id: String::new(), args: args.to_vec() });
    }
    family.dies("y", boom());
    family.dies("z", ExitReason::Normal);
    family.settle();
    assert_eq!(family.log(), ["x starts", "y starts", "z starts", "y starts"]);
    let count = ChildCount { specs: 1, active: 2, supervisors: 0, workers: 2 };
    assert_eq!(family.asks(Ask::CountChildren), Answer::Count(count));
    let nameless = Answer::Done(Err(ChildError::Nameless));
    assert_eq!(family.asks(Ask::TerminateChild(Child::Id("kid".into()))), nameless);
    let x = Child::Process(family.process("x"));
    assert_eq!(family.asks(Ask::TerminateChild(x)), Answer::Done(Ok(())));
    assert_eq!(family.living(), ["y"]);
}

#[test]
fn significant_children_may_end_it() {
    let significant = |id| kid(id).restart(Restart::Transient).significant();
    let with = |auto_shutdown| {
        let supervisor = Supervisor::new(Strategy::OneForOne).auto_shutdown(auto_shutdown);
        let supervisor = supervisor.child(kid("a")).child(significant("s"));
        Family::new(supervisor.child(significant("t")))
    };
    let mut family = with(AutoShutdown::AnySignificant);
    family.log();
    family.dies("s", ExitReason::Normal);
    family.settle();
    assert_eq!(family.log(), ["t ends", "a ends"]);
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
    let mut family = with(AutoShutdown::AllSignificant);
    family.dies("s", ExitReason::Normal);
    family.settle();
    assert_eq!(family.solo.ended(), None);
    family.dies("t", ExitReason::Shutdown);
    family.settle();
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
    let mut family = with(AutoShutdown::AnySignificant);
    family.asks(Ask::TerminateChild(Child::Id("s".into())));
    assert_eq!(family.solo.ended(), None, "it did not end by itself");
}

#[test]
fn a_child_that_is_asked_for_is_called_so_and_not_as_it_was_made() {
    let nameless = |_: &str| Some(kid(""));
    let mut family = Family::new(Supervisor::new(Strategy::OneForOne).dynamic(nameless));
    let start = |id: &str| Ask::StartChild { id: id.into(), args: vec![] };
    assert!(matches!(family.asks(start("a")), Answer::Started(Ok(Some(_)))));
    assert!(matches!(family.asks(start("")), Answer::Started(Err(ChildError::BadSpec(_)))));
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    let one = |child: ChildSpec| Supervisor::new(Strategy::OneForOne).child(child);
    let cases = [
        (three(Strategy::OneForOne).child(kid("a")), SpecError::DuplicateId("a".into())),
        (one(kid("")), SpecError::EmptyId),
        (one(kid("a").significant()), SpecError::SignificantPermanent("a".into())),
        (
            one(kid("a").significant().restart(Restart::Temporary)),
            SpecError::SignificantForNothing("a".into()),
        ),
        (three(Strategy::SimpleOneForOne), SpecError::NotOneKind(3)),
    ];
    for (supervisor, error) in cases {
        assert_eq!(supervisor.check(), Err(error.clone()));
        let mut family = Family::waiting(supervisor);
        assert!(!family.begin());
        assert_eq!(family.log(), Vec::<String>::new());
        assert_eq!(family.solo.ended().cloned(), ExitReason::other(error.to_string().as_bytes()));
    }
}

#[test]
fn one_that_ended_while_others_are_ended_is_not_waited_for() {
    let mut family = Family::new(three(Strategy::OneForAll));
    family.stubborn.insert("c");
    family.log();
    family.dies("b", boom());
    // Meanwhile the supervisor waits for the end of `c`.
    family.settle();
    family.dies("a", boom());
    let request = family.ask(Ask::CountChildren);
    family.passes(1);
    assert_eq!(family.log(), ["c does not end"]);
    assert_eq!(family.reply(request), None, "what is asked waits");
    family.passes(5_000);
    assert_eq!(family.log(), ["c is killed", "a starts", "b starts", "c starts"]);
    let count = ChildCount { specs: 3, active: 3, supervisors: 0, workers: 3 };
    assert_eq!(family.reply(request), Some(Answer::Count(count)));
    assert_eq!(family.solo.ended(), None, "all of that was one restart");
}

#[test]
fn it_ends_its_children_with_its_parent_even_while_it_begins() {
    let mut family = Family::waiting(three(Strategy::OneForOne));
    family.solo.request(SystemRequest::Start.write().unwrap());
    // The first child has been asked to begin.
    family.solo.step();
    family.solo.signal(Signal::Exit { from: family.solo.other(), reason: ExitReason::Shutdown });
    family.settle();
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
    assert_eq!(family.living(), Vec::<&str>::new());
}

#[test]
fn one_with_nothing_to_do_has_been_started_once_it_has_ended_and_its_name_is_free() {
    let known = |_: &str| Some(kid("x"));
    let mut family = Family::new(Supervisor::new(Strategy::OneForOne).dynamic(known));
    family.idle.insert("x");
    let request = family.ask(Ask::StartChild { id: "x".into(), args: vec![] });
    family.solo.run();
    let mut born = BTreeMap::new();
    for effect in family.solo.take_effects() {
        family.perform(effect, &mut born);
    }
    family.solo.run();
    assert_eq!((family.ending.len(), family.reply(request)), (1, None));
    family.settle();
    assert_eq!(family.reply(request), Some(Answer::Started(Ok(None))));
}

#[test]
fn how_many_requests_wait_is_as_it_is_made() {
    let mut family = Family::new(three(Strategy::OneForAll).max_waiting(2));
    family.stubborn.insert("c");
    family.dies("b", boom());
    family.settle();
    let requests = [(); 3].map(|()| family.ask(Ask::CountChildren));
    family.settle();
    let overloaded = Some(Err(Failure::Overloaded));
    let replies = requests.map(|request| family.solo.take_reply(request));
    assert_eq!(replies, [None, None, overloaded]);
    family.passes(5_000);
    let count = ChildCount { specs: 3, active: 3, supervisors: 0, workers: 3 };
    assert_eq!(family.reply(requests[1]), Some(Answer::Count(count)));
}
